"""One attempt at one completion as a state machine: bytes in, chunks out. No I/O and no clock.

The face hands in what the network brings: `receive_response`, `receive_data`, then `receive_eof` or
`receive_failure`. An answer is complete when its dialect has closed it, or when every choice has a
finish_reason; whatever ends earlier is an error, which waits in `error` for the face to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import orjson

from ritellm import wire as wires
from ritellm.calls.body import Body, body_of
from ritellm.chunks import ChunkSum
from ritellm.chunks.run import Batch, Piece, Run, expanded
from ritellm.chunks.sum import merge_chunks
from ritellm.endpoints import Endpoint
from ritellm.errors import (
    APIConnectionError,
    APIResponseValidationError,
    InvalidRequestError,
    RitellmError,
    StreamTruncatedError,
    Timeout,
)
from ritellm.types import Buffer, Chunk, Completion, Discarded, HttpRequest, NoChoices, Request
from ritellm.wire.base import Decoder


class TakenUp(Protocol):
    """What goes on in this exchange: an answer that broke off in the one before."""

    sum: ChunkSum
    undelivered: list[Chunk]  # in the sum already
    decoder: Decoder | None  # the same goes on, where the same answer does
    listen: Callable[[Request, Endpoint], HttpRequest] | None

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` as they follow on what was there."""


_UNBUFFERED = Buffer()
# The request had not reached the provider when these ran out.
_TOO_EARLY = frozenset({"connect_timeout", "write_timeout"})
# So many chunks at a time may as well be made at once.
_FEW = 16
# What a decoder raises: it takes the shape of the JSON for granted, for checking costs each chunk.
_MISREAD = (RitellmError, AttributeError, LookupError, TypeError, ValueError)


class Exchange:
    """What is sent, and what comes back."""

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        attempt: int = 1,
        *,
        asked: int | None = None,
        taken_up: TakenUp | None = None,
    ) -> None:
        self.attempt = attempt
        self.error: RitellmError | None = None
        self.status: int | None = None  # of the response
        self.sum = taken_up.sum if taken_up else ChunkSum()
        self.endpoint = endpoint
        self._asked = asked or attempt  # how often, this time included
        self._request = request
        self._taken_up = taken_up
        self.decoder = taken_up.decoder if taken_up else None
        self._wire = wires.load(endpoint.wire or endpoint.provider.wire)
        self._body: Body | None = None
        self.over = False  # nothing more is to be waited for: the answer was closed, or broke off
        self.emits_chunks = True  # else they only go into the sum
        self._buffered = request.buffer != _UNBUFFERED
        self._held: list[Piece] = []  # too few yet to be delivered as one
        self.has_content = False  # anything of the answer has come, not only its head or its end
        self.undelivered = taken_up.undelivered if taken_up else []

    def http_request(self) -> HttpRequest:
        """Return the bytes to send."""
        try:
            listen = self._taken_up.listen if self._taken_up else None
            build = listen or self._wire.build_request
            request = build(self._request, self.endpoint)
        except orjson.JSONEncodeError as error:
            raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None
        return self.endpoint.signer(request) if self.endpoint.signer else request

    def receive_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the status and the headers (lower-case names) of the answer."""
        self.status = status
        streamed = self._request.stream
        self._body = body_of(self._wire, status, headers, streamed, self.decoder, self._new_decoder)

    def _new_decoder(self) -> Decoder:
        self.decoder = self._wire.new_decoder(self._request)
        return self.decoder

    def discard_chunks(self) -> None:
        """Return no more chunks; they still go into `sum`."""
        self.emits_chunks = False

    def stop(self) -> None:
        """Wait for nothing more: the body has ended, or the caller leaves."""
        self.over = True

    def receive_data(self, data: bytes, *, hold: bool = False) -> Batch:
        """Return the chunks that `data` completes. Look at `error` afterwards.

        With `hold` they are kept, to be put together with those that follow.
        """
        body = self._body
        assert body is not None, "receive_response comes first"
        pieces: list[Piece] = []
        if self.error is None:
            try:
                body.feed(data, pieces)
            except _MISREAD as error:
                self._misread(error)
            self.over = body.done or self.error is not None
        return self._delivered(pieces, last=self.over, hold=hold)

    def receive_eof(self) -> Batch:
        """Return the chunks that the end of the body completes. Look at `error` afterwards."""
        pieces: list[Piece] = []
        if self._body is not None and self.error is None:
            try:
                self._body.end(pieces)
            except _MISREAD as error:
                self._misread(error)
        chunks = self._delivered(pieces, last=True)
        if self.error is None and not self.complete:
            self._fail(self._truncated())
        return chunks

    def receive_failure(self, error: RitellmError) -> None:
        """Take a broken connection or a timeout: an error, unless the answer was whole already."""
        held, self._held = self._held, []
        # Not delivered, but part of what had come: whoever takes this up delivers it.
        self.undelivered += self._numbered(held)
        if self.error is None and not self.complete:
            self._fail(error)

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: a fact about what has come, not about the connection."""
        reasons = self.sum.finish_reasons
        if self.error is not None or not reasons:
            return False
        asked = self._request.params.get("n")
        expected = asked if isinstance(asked, int) else 1
        return self.done or (len(reasons) >= expected and None not in reasons)

    @property
    def done(self) -> bool:
        """Whether the dialect's terminator has come."""
        return self._body is not None and self._body.done

    def completion(self) -> Completion:
        """Return the completion so far."""
        return self.sum.completion()

    def _misread(self, error: Exception) -> None:
        if not isinstance(error, RitellmError):
            error = APIResponseValidationError(f"an answer of another shape ({error!r})")
        self._fail(error)

    def _delivered(self, pieces: list[Piece], *, last: bool, hold: bool = False) -> Batch:
        """Return `pieces` as they are delivered: joined to what was, put together, numbered."""
        if self._taken_up:
            pieces = [*self._taken_up.join(expanded(pieces))]
        if self._buffered and self.emits_chunks:
            pieces = self._merged(pieces, hold and not last, last)
        numbered = self._numbered(pieces)
        if self.undelivered:
            numbered, self.undelivered = [*self.undelivered, *numbered], []
        return numbered

    def _merged(self, pieces: list[Piece], hold: bool, last: bool) -> list[Piece]:
        """Return `pieces` put together as the caller wants them; what is too few yet is held."""
        buffer = self._request.buffer
        held = [*self._held, *(expanded(pieces) if buffer.chunks else pieces)]
        size = buffer.chunks or len(held) or 1
        ready = len(held)
        if hold or not (last or buffer.seconds):
            ready = ready // size * size if buffer.chunks else 0
        self._held = held[ready:]
        return [merge_chunks(held[at : min(at + size, ready)]) for at in range(0, ready, size)]

    def _numbered(self, pieces: list[Piece]) -> Batch:
        """Add `pieces` to the sum; return them with their numbers, for whoever watches.

        Nobody else needs the chunks of a run, which are most: they are not even made.
        """
        total = self.sum
        for piece in pieces:
            piece.number(self.attempt, total.count)
            if isinstance(piece, Run):
                if not self.has_content:
                    self.has_content = any(piece.texts)
                total.add_run(piece)
                continue
            if not piece.get("choices"):
                piece["choices"] = NoChoices()
            if not self.has_content:
                self.has_content = _has_content(piece)
            total.add(piece)
        if not self.emits_chunks:
            return []
        first = pieces[0] if len(pieces) == 1 else None
        return first if isinstance(first, Run) and len(first) > _FEW else expanded(pieces)

    def _truncated(self) -> StreamTruncatedError:
        if self.sum.count == 0:
            return StreamTruncatedError("the answer ended before its first chunk")
        if self.done:
            return StreamTruncatedError("the answer is empty: the provider closed it at once")
        return StreamTruncatedError(
            f"the stream ended after {self.sum.count} chunks, before the provider closed it"
        )

    def _fail(self, error: RitellmError) -> None:
        error.provider = self.endpoint.provider.name
        error.model = self._request.model
        error.message = self.endpoint.scrub(error.message)
        error.args = (error.message,)
        error.attempts = self._asked
        self.error = error

    def discarded(self, *, kept: bool = False) -> Discarded | None:
        """Return this attempt as one whose response does not count; None if it is not billed."""
        if not self._is_billed():
            return None
        completion = self.error.partial if self.error is not None else None
        model = f"{self.endpoint.provider.name}/{self._request.model}"
        return Discarded(model, completion or self.completion(), self.sum.counted, kept)

    def _is_billed(self) -> bool:
        """Return whether the provider has the request and has not refused it."""
        error = self.error
        if self.endpoint.tape is not None:
            return False
        if self.status is None:
            return error is None or (isinstance(error, Timeout) and error.code not in _TOO_EARLY)
        if not 200 <= self.status < 300:
            return False
        # An error as the first event is a refusal that came too late for a status.
        return (
            bool(self.sum.count)
            or error is None
            or isinstance(error, (APIConnectionError, Timeout))
        )

    def attach_partial(self) -> None:
        """Let `error` carry the completion so far, once it is certain to be raised."""
        if self.error is not None and self.sum.count:
            self.error.partial = self.sum.completion()


_CONTENT = ("content", "reasoning_content", "tool_calls", "refusal", "function_call", "audio")


def _has_content(chunk: Chunk) -> bool:
    return any(
        (choice.get("delta") or {}).get(name)
        for choice in chunk.get("choices") or ()
        for name in _CONTENT
    )
