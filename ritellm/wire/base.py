"""The interfaces of a dialect and of its parts, as protocols.

Modules satisfy `Wire`, and classes satisfy the others, without inheriting from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ritellm.endpoints import Endpoint
from ritellm.errors import APIError
from ritellm.types import Chunk, Completion, HttpRequest, Request

# (type, data): a server-sent event, a JSON line, or a frame of an AWS event stream.
# A plain tuple, since a named one costs ten times as much for each chunk.
Event = tuple[str, bytes]


class Framing(Protocol):
    """Splits a byte stream into events, wherever the bytes are cut."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""

    def eof(self) -> list[Event]:
        """Return the unfinished events at the end of the body."""


class Decoder(Protocol):
    """Turns the events of one stream into chunks.

    A decoder of server-sent events may also have `repeats`, which reads many similar events at once
    (`ritellm.wire.openai_chat.repeats`). A decoder of a dialect whose streams just end says so by
    `has_terminator = False` (`ritellm.calls.whole`).
    """

    done: bool  # the terminator of the dialect has arrived

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunks of `event` to `into`; raises the APIError in it."""


class Wire(Protocol):
    """One dialect: it encodes requests and decodes responses."""

    def build_request(self, request: Request, endpoint: Endpoint) -> HttpRequest:
        """Return the HTTP request for `request`; raises UnsupportedParamsError."""

    def new_framing(self) -> Framing:
        """Return the framing of a streamed response."""

    def new_decoder(self, request: Request) -> Decoder:
        """Return a decoder for one streamed response to `request`."""

    def decode_completion(self, body: Any) -> Completion:
        """Return the completion in the JSON of an unstreamed response."""

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
        """Return the error for a response with `status`."""
