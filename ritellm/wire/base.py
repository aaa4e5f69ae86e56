"""What a dialect and a framing must offer. Modules and classes satisfy these; none inherits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ritellm.endpoints import Endpoint
from ritellm.errors import APIError
from ritellm.types import Chunk, Completion, HttpRequest, Request

# (type, data): a server-sent event, a JSON line, or a frame of an AWS event stream.
# A plain tuple: a named one costs ten times as much, once per chunk.
Event = tuple[str, bytes]


class Framing(Protocol):
    """Cuts a byte stream into events, wherever the bytes are cut."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""

    def eof(self) -> list[Event]:
        """Return what the end of the body leaves open."""


class Decoder(Protocol):
    """Turns the events of one stream into chunks.

    A decoder of server-sent events may also have `repeats`, which reads events that are alike all
    at once (`ritellm.wire.openai_chat.repeats`).
    """

    done: bool  # the dialect's terminator has been seen

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunks of `event` to `into`; raises the APIError that it carries."""


class Wire(Protocol):
    """One dialect, both ways."""

    def build_request(self, request: Request, endpoint: Endpoint) -> HttpRequest:
        """Return the bytes that ask `request`; raises UnsupportedParamsError."""

    def new_framing(self) -> Framing:
        """Return the framing of a streamed answer."""

    def new_decoder(self, request: Request) -> Decoder:
        """Return a decoder for one streamed answer to `request`."""

    def decode_completion(self, body: Any) -> Completion:
        """Return the completion in the JSON of an answer that was not streamed."""

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
        """Return the error that an answer with `status` stands for."""
