"""Reads the body of a response: as events, as one JSON document, or as an error.

Problem: servers and proxies mislabel bodies. A stream may arrive as JSON, JSON as text/plain, and
an error page under status 200.

Idea: the status and the content type choose the reader, and for an unreliable type the first byte
does. All readers put chunks into the same list, so `Exchange` does not distinguish them.

    status 2xx --+-- events by type, or a continued stream --> _StreamBody, _SSEBody
                 +-- HTML --> _ErrorBody
                 +-- any other type --> _UnnamedBody --first byte--> a stream, or _WholeBody
    any other status --> _ErrorBody

Invariants:
- Chunks before an error are delivered, then the error is raised.
- Events after the terminator are not read.
- An event that the end of the body cuts off is a truncation, never half a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from ritellm.chunks.run import Piece
from ritellm.chunks.sum import completion_to_chunk
from ritellm.errors import APIResponseValidationError, StreamTruncatedError
from ritellm.types import Chunk
from ritellm.wire import limits
from ritellm.wire.base import Decoder, Event, Framing, Wire
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.errors.redirect import redirect_error
from ritellm.wire.framing.document import depth_of
from ritellm.wire.framing.jsonl import JSONLines
from ritellm.wire.framing.sse import BARE, SSE, end_of_event, events_of
from ritellm.wire.openai_chat.repeats import Repeats
from ritellm.wire.payload import HalfCharacterError, parse_document
from ritellm.wire.repairs import ends_in_half, is_idle, joined, with_whole_characters

# Data that no decoder reads: it only releases an event that is held.
_NOTHING: Event = ("", b": nothing")
_HTML = frozenset({"application/xhtml+xml", "text/html"})
_STREAMED = frozenset(
    {"application/vnd.amazon.eventstream", "application/x-ndjson", "text/event-stream"}
)
_JSON = frozenset({"application/json", "text/json"})
_OPENS_JSON = (b"{", b"[")
_OPENS_SSE = (b":", b"d", b"e", b"i", b"r")  # a comment, data, event, id, retry: none begins JSON
_BOM = b"\xef\xbb\xbf"
_BLANK = _BOM + b" \t\r\n"  # blanks, and a byte order mark, whole or in pieces
_LONGEST_MARK = 3  # the bytes of the blanks before a body that may matter
# The most of an error page that is kept.
_ERROR_BYTES = 64 * 1024


class Body(Protocol):
    """Reads the body of one kind of response."""

    @property
    def done(self) -> bool: ...

    def feed(self, data: bytes, into: list[Piece]) -> None: ...

    def end(self, into: list[Piece]) -> None: ...


def body_of(
    wire: Wire,
    status: int,
    headers: Mapping[str, str],
    streamed: bool,
    decoder: Decoder | None,
    new_decoder: Callable[[], Decoder],
) -> Body:
    """Return the reader for a response with `status` and `headers` (lower-case names).

    `streamed` says whether a stream was requested. A `decoder` continues an interrupted stream;
    `new_decoder` is called for a new one.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not 200 <= status < 300:
        return _ErrorBody(wire, status, headers)
    if kind in _HTML:
        return _ErrorBody(wire, None, headers)
    if kind in _STREAMED or decoder is not None:
        return _stream_body(wire, decoder or new_decoder())

    def begun(first: bytes) -> Body:
        framing = wire.new_framing()
        if streamed and isinstance(framing, JSONLines) and first in _OPENS_JSON:
            return _stream_body(wire, new_decoder())  # a whole answer is a line, too
        whole = _is_whole(first, kind, streamed and not isinstance(framing, SSE))
        return _WholeBody(wire) if whole else _stream_body(wire, new_decoder())

    return _UnnamedBody(begun)


def _is_whole(first: bytes, kind: str, lines: bool) -> bool:
    """Return whether a body is one JSON document, by its first byte and then by its label.

    Servers and proxies label JSON as text/plain, and streams as JSON. If JSON `lines` were
    requested, a stream and a document begin alike.
    """
    if first in _OPENS_JSON and not lines:
        return True
    return kind in _JSON and first not in _OPENS_SSE


def _stream_body(wire: Wire, decoder: Decoder) -> Body:
    framing = wire.new_framing()
    if isinstance(framing, SSE):
        return _SSEBody(framing, decoder)
    return _StreamBody(framing, decoder)


class _StreamBody:
    """Events, one after the other."""

    def __init__(self, framing: Framing, decoder: Decoder) -> None:
        self._framing = framing
        self._decoder = decoder
        self._held: Event | None = None  # ends in half a character

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes, into: list[Piece]) -> None:
        self._decode(self._framing.feed(data), into)

    def end(self, into: list[Piece]) -> None:
        events = self._framing.eof()  # raises if the framing is damaged
        try:
            self._decode(events, into)
            self._decode([_NOTHING] if self._held else [], into)
        except APIResponseValidationError:
            return  # half an event: the truncation is reported, not the broken JSON

    def _decode(self, events: list[Event], into: list[Piece]) -> None:
        decoder = self._decoder
        chunks: list[Chunk] = []  # `list[Chunk]()` takes five times as long
        try:
            for event in events:
                if decoder.done:
                    return  # what follows the terminator is not part of the answer
                if self._held is not None:
                    event = self._joined(event, chunks)
                try:
                    decoder.decode(event, chunks)
                except APIResponseValidationError as error:
                    self._rescue(event, error, chunks)
        finally:
            into += chunks

    def _rescue(self, event: Event, error: APIResponseValidationError, into: list[Chunk]) -> None:
        """Read an event that the decoder refuses, if that can be; else raise `error`."""
        kind, data = event
        if is_idle(data):
            return
        if (lines := _documents(data)) is not None:
            for line in lines:
                if not self._decoder.done:
                    self._decoder.decode((kind, line), into)
            return
        if kind == "error" and not data.startswith(_OPENS_JSON):
            raise stream_error({"error": data.decode("utf-8", "replace")})
        if kind == BARE and error.code is None:
            return
        if not isinstance(error, HalfCharacterError):
            raise error
        if ends_in_half(data):
            self._held = event  # the next event may have the other half
        else:
            self._decoder.decode((kind, with_whole_characters(data)), into)

    def _joined(self, event: Event, into: list[Chunk]) -> Event:
        """Decode the held event, and return `event` with the character that both share."""
        assert self._held is not None
        kind, held = self._held
        self._held = None
        held, data = joined(held, event[1])
        self._decoder.decode((kind, with_whole_characters(held)), into)
        return event[0], data


def _documents(data: bytes) -> list[bytes] | None:
    """Return the lines of an event, if each is a document: some servers send no blank lines."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    whole = len(lines) > 1 and all(depth_of(line) == 0 for line in lines)
    return lines if whole and all(line.lstrip().startswith(_OPENS_JSON) for line in lines) else None


class _SSEBody(_StreamBody):
    """Server-sent events: those that arrived together are decoded together."""

    def __init__(self, framing: SSE, decoder: Decoder) -> None:
        super().__init__(framing, decoder)
        self._block = framing.block
        self._repeats: Repeats | None = getattr(decoder, "repeats", None)

    def feed(self, data: bytes, into: list[Piece]) -> None:
        block, repeats, decoder = self._block(data), self._repeats, self._decoder
        if repeats is None:
            self._decode(events_of(block), into)
            return
        at = 0
        while at < len(block) and not decoder.done:
            if self._held is None:
                run, at = repeats.take(block, at)
                if run is not None:
                    into.append(run)
                    continue
            end = end_of_event(block, at)
            self._decode(events_of(block[at:end]), into)
            at = end


class _UnnamedBody:
    """A body with an unreliable label: `choose` decides by the first byte."""

    def __init__(self, choose: Callable[[bytes], Body]) -> None:
        self._choose = choose
        self._body: Body | None = None
        self._blank = b""

    @property
    def done(self) -> bool:
        return self._body is not None and self._body.done

    def feed(self, data: bytes, into: list[Piece]) -> None:
        if self._body is None:
            data = self._blank + data
            begun = data.lstrip(_BLANK)
            if not begun:
                self._blank = data[-_LONGEST_MARK:]
                return
            self._body = self._choose(begun[:1])
        self._body.feed(data, into)

    def end(self, into: list[Piece]) -> None:
        if self._body is None:
            self._body = self._choose(b"")
        self._body.end(into)


class _WholeBody:
    """A JSON object: the whole answer, or an error with status 200."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._data = bytearray()
        self.done = False

    def feed(self, data: bytes, into: list[Piece]) -> None:
        self._data += data
        if len(self._data) > limits.MAX_DOCUMENT_BYTES:
            self._data = bytearray()
            raise limits.exceeded("a JSON document", limits.MAX_DOCUMENT_BYTES)

    def end(self, into: list[Piece]) -> None:
        completion = self._wire.decode_completion(_parse(self._data.removeprefix(_BOM)))
        into.append(completion_to_chunk(completion))
        self.done = True


class _ErrorBody:
    """The text of an error; without a status it is a web page instead of a response."""

    def __init__(self, wire: Wire, status: int | None, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._status = status
        self._headers = headers
        self._data = bytearray()
        self.done = False  # enough has arrived

    def feed(self, data: bytes, into: list[Piece]) -> None:
        if not self.done:
            self._data += data[:_ERROR_BYTES]
        self.done = len(self._data) >= _ERROR_BYTES

    def end(self, into: list[Piece]) -> None:
        body = bytes(self._data)
        if self._status is None:
            raise APIResponseValidationError(
                f"expected JSON or events, got an HTML page: {body[:200]!r}"
            )
        if redirect := redirect_error(self._status, self._headers):
            raise redirect
        raise self._wire.decode_error(self._status, body, self._headers)


def _parse(body: bytearray) -> Any:
    try:
        return parse_document(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            raise StreamTruncatedError("the response is empty") from None
        raise StreamTruncatedError(f"the response ended inside a JSON document ({error})") from None
