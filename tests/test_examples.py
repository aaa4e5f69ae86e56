"""The examples do what they say. (Those that need a server are tested in tests/services.)"""

from __future__ import annotations

import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from deltas import at, deltas_of
from fake_server import chat_stream

from transforms import Delta
from transforms.serialization import to_bytes, to_delta

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def growing_transcripts(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "growing_transcripts", raising=False)
    import growing_transcripts

    return growing_transcripts


def test_transcripts_grow_while_the_model_speaks(growing_transcripts):
    x, y, z, end = deltas_of("a")
    coder = beam.coders.registry.get_coder(Delta)
    stream = test_stream.TestStream(coder=coder).advance_watermark_to(0)
    for delta in (x, z, y, end):  # in disorder
        stream = stream.add_elements(at(1, delta))
    stream = stream.advance_watermark_to_infinity().with_output_types(Delta)
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as p:
        rows = p | stream | growing_transcripts.GrowingTranscripts(every=1)

        def grows(found):
            texts = sorted({(len(row.text), row.text, row.whole) for row in found})
            assert texts == [(1, "x", False), (3, "xyz", False), (3, "xyz", True)], found

        assert_that(rows, grows)


@pytest.mark.parametrize(
    "delta", [*deltas_of("a"), Delta("b", 2, 0, "", None, "{}", True, "{}", '{"n":1}')]
)
def test_a_delta_of_a_topic_is_the_delta_that_was_published(delta):
    assert to_delta(to_bytes(delta)) == delta


@pytest.mark.parametrize("data", [b"half {", b"{}", b'{"id":"a","chunk":{},"more":1}'])
def test_a_message_that_is_no_delta_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        to_delta(data)


def test_reviews_are_labelled_by_checked_columns(fake_server, monkeypatch):
    pytest.importorskip("jsonschema_rs")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    import label_reviews

    wanted = '{"label": "good", "refund": false}'
    fake_server.enqueue(chat_stream(wanted.replace("false", "true")), chat_stream(wanted))
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        label = label_reviews.LabelReviews("openai/m", base_url=fake_server.base_url)
        assert_that(p | beam.Create(["fine"]) | label, equal_to([("good", "fine")]))
    assert "wants no refund" in fake_server.requests[1].json["messages"][-1]["content"]
