"""An error that a server or a proxy writes as a document of its own into a stream, under a 200."""

from __future__ import annotations

import json
import struct

import httpx
import pytest
from dialect_samples import DIALECTS, EVENTS

import ritellm
from ritellm import RitellmError

MESSAGES = [{"role": "user", "content": "hi"}]
KEYS = {
    "api_key": "AKIDEXAMPLE0:secret-of-aws-01234",
    "base_url": "http://server.example/v1",
    "num_retries": 0,
}
ON_FIRE = {"error": {"message": "the machine room is on fire", "code": 429}}


def pretty(document):
    return json.dumps(document, indent=2).encode()


# The document as it stands in the body, and whether only servers of events write it so.
FORMS = {
    "one line": (json.dumps(ON_FIRE).encode(), False),
    "one line with its end": (json.dumps(ON_FIRE).encode() + b"\n\n", False),
    "many lines": (pretty(ON_FIRE), False),
    "many lines with their end": (pretty(ON_FIRE) + b"\r\n\r\n", False),
    "many lines of a proxy": (pretty(ON_FIRE).replace(b"\n", b"\r\n"), False),
    "tabs": (json.dumps(ON_FIRE, indent="\t").encode(), False),
    "a list of one": (pretty([ON_FIRE]), False),
    "an odd break": (b'{"error":\n{"message": "the machine room is on fire"}}', False),
    "a comma before each line": (
        b'{ "error":\n    { "code": 429\n    , "message": "the machine room is on fire" }\n}', False
    ),
    "many lines of data": (b"data: " + pretty(ON_FIRE) + b"\n\n", True),
    "each line as data": (
        b"".join(b"data: %s\n" % line for line in pretty(ON_FIRE).splitlines()) + b"\n", True
    ),
    "an event of many lines": (b"event: error\ndata: " + pretty(ON_FIRE) + b"\n\n", True),
}  # fmt: skip


def begun(model):
    """Return the stream of `model` up to its first text."""
    stream = DIALECTS[model][0]
    if model.startswith("bedrock"):
        lengths = struct.unpack_from(">I", stream)[0], 0
        return stream[: lengths[0] + struct.unpack_from(">I", stream, lengths[0])[0]]
    head = stream[: stream.index(b'"there"')]
    for end in (b"\r\n\r\n", b"\n\n", b"\n"):
        if end in head:
            return head[: head.rfind(end) + len(end)]
    raise AssertionError(model)


class Pieces(httpx.SyncByteStream):
    def __init__(self, body, size):
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]

    def __iter__(self):
        yield from self._pieces


def ask(model, body, size=1 << 20, kind=None):
    headers = {"content-type": kind or DIALECTS[model][1]}

    def send(request):
        return httpx.Response(200, headers=headers, stream=Pieces(body, size))

    with ritellm.Client(transport=httpx.MockTransport(send)) as client:
        opened = client.completion(model, MESSAGES, stream=True, **keys(model))
        return opened.read()


def keys(model):
    if model.startswith("bedrock"):
        return {**KEYS, "api_key": "bedrock-key-0123456789"}
    if model.startswith("vertex_ai"):
        return {**KEYS, "vertex_project": "p", "vertex_location": "l"}
    return KEYS


@pytest.mark.parametrize("size", [1 << 20, 1, 7])
@pytest.mark.parametrize("place", ["first", "after text"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", DIALECTS)
def test_a_document_in_place_of_events_is_the_error_that_it_says(model, form, place, size):
    document, only_events = FORMS[form]
    if only_events and DIALECTS[model][1] != EVENTS:
        pytest.skip("no server-sent events")
    before = begun(model) if place == "after text" else b""
    with pytest.raises(RitellmError, match="the machine room is on fire") as raised:
        ask(model, before + document, size)
    if before:
        assert raised.value.partial.choices[0].message.content == "Hello "


@pytest.mark.parametrize("model", DIALECTS)
def test_half_a_document_is_a_stream_that_broke_off(model):
    for cut in (1, 5, 20):
        with pytest.raises(ritellm.StreamTruncatedError):
            ask(model, begun(model) + pretty(ON_FIRE)[:-cut])


def test_a_broken_line_among_lines_is_broken_json_at_once():
    begin = begun("ollama/m")
    broken = b'{"model": "m", "message": {"content": "brok\n'
    with pytest.raises(ritellm.APIResponseValidationError, match="broken JSON"):
        ask("ollama/m", begin + broken + DIALECTS["ollama/m"][0])


def test_a_document_without_an_end_is_broken_json():
    begin = begun("ollama/m") + b'{"error": [\n'
    with pytest.raises(ritellm.APIResponseValidationError, match="broken JSON"):
        ask("ollama/m", begin + b'"line",\n' * 20_000)


def test_a_pretty_printed_answer_is_read_too():
    stream = b"\n".join(pretty(json.loads(line)) for line in DIALECTS["ollama/m"][0].splitlines())
    for size in (1 << 20, 1, 5):
        assert ask("ollama/m", stream, size).choices[0].message.content == "Hello there"
