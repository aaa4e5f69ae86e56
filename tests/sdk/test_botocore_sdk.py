"""An independent check: botocore signs the same, and reads the same frames."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

botocore = pytest.importorskip("botocore")

from botocore import auth, awsrequest, credentials, eventstream, loaders, model, validate  # noqa: E402
from replay import USER, body_of, message_of  # noqa: E402
from test_bedrock import ANSWERS, TOOL, streamed  # noqa: E402

from ritellm.providers import aws_sigv4  # noqa: E402
from ritellm.types import HttpRequest  # noqa: E402
from ritellm.wire.framing.aws_eventstream import EventStream  # noqa: E402

RECORDED = Path(__file__).parents[3] / "shared" / "streams" / "bedrock" / "nova_text.bin"
NOW = datetime(2026, 11, 22, 20, 26, 7, tzinfo=timezone.utc)
HOST = "https://bedrock-runtime.eu-central-1.amazonaws.com"


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize(
    "path",
    [
        "/model/us.amazon.nova-micro-v1%3A0/converse-stream",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse",
        "/model/a/converse?x=1&b=2%20c",
    ],
)
def test_botocore_signs_the_same(monkeypatch, path, token):
    headers = {"content-type": "application/json", "accept": "application/json"}
    content = '{"messages":[{"role":"user","content":[{"text":"grüße"}]}]}'.encode()
    ours = aws_sigv4.sign(
        HttpRequest(HOST + path, headers, content),
        aws_sigv4.AwsCredentials("AKID", "secret", token),
        "eu-central-1",
        "bedrock",
        NOW,
    )
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    theirs = awsrequest.AWSRequest("POST", HOST + path, dict(headers), content)
    keys = credentials.Credentials("AKID", "secret", token)
    auth.SigV4Auth(keys, "bedrock", "eu-central-1").add_auth(theirs)
    assert ours.headers["authorization"] == theirs.headers["Authorization"]
    assert ours.headers["x-amz-date"] == theirs.headers["X-Amz-Date"]


def test_botocore_reads_the_same_frames():
    if not RECORDED.exists():
        pytest.skip("the recorded stream is not beside this repository")
    data = RECORDED.read_bytes()
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(data)
    theirs = [(message.headers[":event-type"], message.payload) for message in buffer]
    assert EventStream().feed(data) == theirs


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"nothing"}))
def test_requests_have_the_shape_that_amazon_describes(name):
    service = model.ServiceModel(
        loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    )
    shape = service.operation_model("Converse").input_shape
    schema = {"name": "w", "schema": {"type": "object"}}
    body = body_of(
        "bedrock",
        [
            {"role": "system", "content": "Be brief", "cache_control": {"type": "ephemeral"}},
            *USER,
            message_of(streamed(ANSWERS[name])),
            {"role": "tool", "tool_call_id": "t1", "content": "20", "is_error": True},
        ],
        tools=[TOOL],
        tool_choice="required",
        max_tokens=5,
        stop=["x"],
        top_k=3,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": schema},
        service_tier="flex",
        metadata={"team": "a"},
    )
    report = validate.ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()
    assert body.keys() <= shape.members.keys()
