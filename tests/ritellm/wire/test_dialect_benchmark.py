"""The benchmark of the dialects reads sound responses."""

import httpx
import pytest

from benchmarks.client.dialect_bodies import CONTENT_TYPES, MODELS, body
from benchmarks.client.dialects import measure
from ritellm import Client


@pytest.mark.parametrize("dialect", MODELS)
def test_a_long_response_of_a_dialect_is_read_whole(dialect):
    def respond(_):
        headers = {"content-type": CONTENT_TYPES.get(dialect, "text/event-stream")}
        return httpx.Response(200, headers=headers, content=body(dialect, 3))

    client = Client(transport=httpx.MockTransport(respond), api_key="k")
    region = {"aws_region_name": "us-east-1"} if dialect == "bedrock" else {}
    messages = [{"role": "user", "content": "x"}]
    stream = client.completion(MODELS[dialect], messages, stream=True, **region)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.removesuffix(".") == " w0 w1 w2"
    assert stream.completion.choices[0].finish_reason == "stop"


def test_the_benchmark_has_a_figure_for_each_dialect():
    found = measure(chunks=20, runs=1)
    assert set(found) == set(MODELS)
    assert all(figures["ratio"] > 0 for figures in found.values())
