"""Splits AWS's binary event stream into events. No I/O and no clock.

`application/vnd.amazon.eventstream`:
https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream

A frame, with all numbers big-endian:

    4 bytes   length of the frame                     |
    4 bytes   length of the headers                   | the prelude
    4 bytes   CRC of the 8 bytes before               |
    headers   name length, name, type, value, ...
    payload
    4 bytes   CRC of everything before

The problem: bytes arrive cut at any place, and a damaged length would make the reader wait for
bytes that never come. The idea: the prelude has a checksum of its own, so a length is used only
after its checksum has matched. The invariant: the events, and the error after them, do not depend
on where the bytes are cut.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID
from zlib import crc32

import orjson

from ritellm.errors import APIResponseValidationError
from ritellm.wire import limits
from ritellm.wire.base import Event
from ritellm.wire.framing.document import MAX_DOCUMENT_BYTES

Header = bool | int | bytes | str | UUID

BARE = "bare"  # the type of an event that is JSON in place of a frame
_JSON = (b"{", b"[")
_JSON_BYTES = b"".join(_JSON)
_FAILURES = ("exception", "error")  # types of messages
_PRELUDE = 12
_CRC = 4
# What the format allows: 24 MiB of payload, 128 KiB of headers.
_LONGEST = 24 * 1024 * 1024 + 128 * 1024 + _PRELUDE + _CRC
# Types of header values: true and false carry no bytes, bytes and text carry their own length.
_FIXED = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}
_SIZES = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class EventStream:
    """Splits a byte stream into events, wherever the bytes are cut.

    The type of an event is its `:event-type`; that of an exception is "exception:" and its
    `:exception-type`. After a damaged frame nothing can be trusted: the frames before it are
    returned, then every call raises. JSON in place of a frame, as which a server or a proxy writes
    an error, is an event of the type `BARE`; its first byte would make a frame of two gigabytes.
    """

    __slots__ = ("_damage", "_missing", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()  # an unfinished frame
        self._missing = _PRELUDE  # the bytes to wait for before anything can be read
        self._damage: APIResponseValidationError | None = None  # raised by the next call

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes; raises if a checksum does not match."""
        if self._damage:
            raise self._damage
        events: list[Event] = []
        self._rest += data
        if len(self._rest) < self._missing and not self._rest.startswith(_JSON):
            return events
        try:
            self._take(events)
        except APIResponseValidationError as error:
            if not events:
                raise
            # The events before the damage come first; the next call raises.
            self._damage = error
        return events

    def eof(self) -> list[Event]:
        """Return JSON in place of a frame; half a frame is not an event.

        Raises an error that `feed` kept.
        """
        if self._damage:
            raise self._damage
        if not self._rest.startswith(_JSON):
            return []
        document, self._rest = bytes(self._rest), bytearray()
        return [(BARE, document)]

    def _take(self, events: list[Event]) -> None:
        data, start, missing = self._rest, 0, _PRELUDE
        size = len(data)
        try:
            while size >= start + _PRELUDE and data[start] not in _JSON_BYTES:
                missing = _frame_length(data, start)
                end = start + missing
                if size < end:
                    break
                events.append(_event(bytes(data[start:end])))
                start, missing = end, _PRELUDE
            if size - start > MAX_DOCUMENT_BYTES and data[start] in _JSON_BYTES:
                raise APIResponseValidationError(
                    f"not a frame: {bytes(data[start : start + 200])!r}"
                )
        finally:
            self._missing = missing
            del data[:start]


def _frame_length(data: bytearray, start: int) -> int:
    """Return the length of the frame at `start`, after checking its prelude."""
    length: int
    length, headers, checksum = struct.unpack_from(">III", data, start)
    if crc32(data[start : start + 8]) != checksum:
        raise APIResponseValidationError("the prelude of a frame does not match its checksum")
    if not _PRELUDE + headers + _CRC <= length <= _LONGEST:
        raise APIResponseValidationError(
            f"a frame of {length} bytes with {headers} bytes of headers is impossible"
        )
    if length > limits.MAX_EVENT_BYTES:
        raise limits.exceeded("a frame", limits.MAX_EVENT_BYTES)
    return length


def _event(frame: bytes) -> Event:
    (checksum,) = struct.unpack_from(">I", frame, len(frame) - _CRC)
    if crc32(frame[:-_CRC]) != checksum:
        raise APIResponseValidationError("a frame does not match its checksum")
    end = _PRELUDE + struct.unpack_from(">I", frame, 4)[0]
    kind, name = _types(frame[_PRELUDE:end])
    payload = frame[end:-_CRC]
    if kind not in _FAILURES:
        return name, payload
    headers = parse_headers(frame[_PRELUDE:end])
    if kind == "exception":
        return f"exception:{_text(headers, ':exception-type')}", payload
    # An error has no payload: its text is a header.
    message = orjson.dumps({"message": _text(headers, ":error-message")})
    return f"exception:{_text(headers, ':error-code')}", message


@lru_cache(maxsize=64)  # every chunk of a stream repeats one of a few sets of headers
def _types(headers: bytes) -> tuple[str, str]:
    """Return the type of a message, and that of the event in it."""
    parsed = parse_headers(headers)
    return _text(parsed, ":message-type"), _text(parsed, ":event-type")


def _text(headers: Mapping[str, Header], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def parse_headers(data: bytes) -> Mapping[str, Header]:
    """Return the headers of a frame; raises if they do not fill their space exactly."""
    headers: dict[str, Header] = {}
    position = 0
    try:
        while position < len(data):
            size = data[position]
            name = data[position + 1 : position + 1 + size].decode()
            position += 1 + size
            headers[name], position = _value(data[position], data, position + 1)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise APIResponseValidationError(f"the headers of a frame are broken: {error}") from None
    return headers


def _value(kind: int, data: bytes, position: int) -> tuple[Header, int]:
    """Return the header value at `position`, and the start of the next header."""
    if kind in (0, 1):
        return kind == 0, position
    size = _SIZES.get(kind)
    if size is None:
        if kind not in (6, 7):
            raise ValueError(f"unknown header type {kind}")
        (size,) = struct.unpack_from(">H", data, position)
        position += 2
    raw = data[position : position + size]
    if len(raw) < size:
        raise ValueError("a value is cut off")
    end = position + size
    if kind in _FIXED:
        return int(struct.unpack_from(_FIXED[kind], raw)[0]), end
    if kind == 9:
        return UUID(bytes=raw), end
    return (raw.decode() if kind == 7 else raw), end
