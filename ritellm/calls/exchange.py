"""One attempt at one completion as a state machine: bytes in, chunks out. No I/O and no clock.

Problem: providers end a stream in many ways. A stream that ends early must not be taken for a
whole answer, and a whole answer must not fail because its connection broke afterwards.

Idea: the face passes in what the network brings, and the exchange decides what it means. An answer
is complete when its dialect has sent its terminator, or when every choice has a finish_reason
(`ritellm.calls.whole`). Every other end is an error. The exchange stores the error, and the loop
over the attempts decides whether to raise it or to retry.

    new --receive_response--> reading --receive_data...--> over --receive_eof--> complete
     |                           |                          |
     +------ receive_failure ----+--------------------------+--> error, unless complete

Invariants:
- `error` is set at most once, and never after the answer was complete.
- Every chunk is added to `sum`, in the order of arrival, before it is returned.
- `over` says that the face need not read further; it says nothing about success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

from ritellm import wire as wires
from ritellm.calls.blame import unbuildable
from ritellm.calls.body import Body, body_of
from ritellm.calls.whole import is_whole, reopens
from ritellm.chunks import ChunkSum
from ritellm.chunks.choice import has_text
from ritellm.chunks.run import Batch, Piece, Run, expanded
from ritellm.chunks.sum import merge_chunks
from ritellm.endpoints import Endpoint
from ritellm.errors import (
    ABOUT_VALUES,
    APIConnectionError,
    APIResponseValidationError,
    RitellmError,
    StreamTruncatedError,
    Timeout,
)
from ritellm.types import (
    Buffer,
    Chunk,
    Completion,
    Discarded,
    HttpRequest,
    NoChoices,
    Request,
    set_attempt,
    set_seq,
)
from ritellm.wire import limits
from ritellm.wire.base import Decoder


class Continuation(Protocol):
    """An interrupted answer that this exchange continues."""

    sum: ChunkSum
    undelivered: list[Chunk]  # in the sum already
    decoder: Decoder | None  # of the interrupted exchange, if the same response goes on
    build_request: Callable[[Request, Endpoint], HttpRequest] | None  # None: the dialect's own

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` so that they follow the interrupted answer."""


_UNBUFFERED = Buffer()
# The timeouts that pass before the request has reached the provider.
_TOO_EARLY = frozenset({"connect_timeout", "write_timeout"})
# The most characters of an error's text that are kept, and of a key that a text may end in.
_LONGEST_MESSAGE, _LONGEST_SECRET = 64 * 1024, 16 * 1024
# The most bytes of a body without chunks that an error shows.
_SHOWN = 200
# A run of at most this many chunks is expanded at once.
_FEW = 16


class Exchange:
    """One request and its response."""

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        attempt: int = 1,
        *,
        attempts: int | None = None,
        continuation: Continuation | None = None,
    ) -> None:
        # The request.
        self.endpoint = endpoint
        self.attempt = attempt  # the number that its chunks carry; a continuation keeps it
        self._attempts = attempts or attempt  # requests sent for this completion, with this one
        self._request = request
        self._continuation = continuation
        # The response.
        self.status: int | None = None
        self.decoder = continuation.decoder if continuation else None
        self._wire = wires.load(endpoint.wire or endpoint.provider.wire)
        self._body: Body | None = None
        self._bytes_left = limits.MAX_STREAM_BYTES  # that the body may still have
        self._begin = b""  # its first bytes, while they make no chunk
        # The outcome.
        self.sum = continuation.sum if continuation else ChunkSum()
        self.error: RitellmError | None = None
        self.over = False  # the face need not read further
        self.has_content = False  # the answer has more than its head and its end
        self._doubtful = False  # text has followed a finish_reason
        self._ended_whole = False  # the body has ended, and the answer was complete
        # Delivery.
        self.emits_chunks = True  # else chunks only go into the sum
        # Returns whether another exchange may continue this one, if its length cuts it off.
        self.may_follow: Callable[[Exchange], bool] | None = None
        self.is_cut_off = False  # it has ended by its length, and another one continues it
        self.undelivered = continuation.undelivered if continuation else []
        self.is_buffered = request.buffer != _UNBUFFERED  # chunks are merged before delivery
        self._buffer: list[Piece] = []  # too few chunks yet to be delivered as one

    def http_request(self) -> HttpRequest:
        """Return the bytes to send."""
        resume = self._continuation.build_request if self._continuation else None
        build = resume or self._wire.build_request
        try:
            request = build(self._request, self.endpoint)
        except ABOUT_VALUES as error:
            raise unbuildable(build, self._request, self.endpoint, error) from error
        return self.endpoint.signer(request) if self.endpoint.signer else request

    def receive_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the status and the headers (lower-case names) of the response."""
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
        """Note that nothing more is read: the body has ended, or the attempt has failed."""
        self.over = True

    def receive_data(self, data: bytes, *, buffer: bool = False) -> Batch:
        """Return the chunks that `data` completes. Look at `error` afterwards.

        With `buffer` they are kept, to be merged with those that follow.
        """
        body = self._body
        assert body is not None, "receive_response comes first"
        pieces: list[Piece] = []
        if self.error is None:
            self._bytes_left -= len(data)
            if len(self._begin) < _SHOWN:
                self._begin = (self._begin + data)[:_SHOWN]
            try:
                if self._bytes_left < 0:
                    raise limits.exceeded("the body", limits.MAX_STREAM_BYTES)
                body.feed(data, pieces)
                self.over = body.done
            except Exception as error:
                self._misread(error)
        return self._delivered(pieces, last=self.over, buffer=buffer)

    def receive_eof(self) -> Batch:
        """Return the chunks that the end of the body completes. Look at `error` afterwards."""
        pieces: list[Piece] = []
        if self._body is not None and self.error is None:
            try:
                self._body.end(pieces)
            except Exception as error:
                self._misread(error)
        chunks = self._delivered(pieces, last=True)
        if self.error is None:
            self._ended_whole = self.complete
            if not self._ended_whole:
                self._fail(self._truncated())
        return chunks

    def receive_failure(self, error: RitellmError) -> None:
        """Take a broken connection or a timeout: an error, unless the answer is complete."""
        buffered, self._buffer = self._buffer, []
        # These chunks belong to the partial answer. A continuation delivers them.
        self.undelivered += self._numbered(buffered)
        if self.error is None and not self.complete:
            self._fail(error)

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, by what has arrived and not by the connection's end."""
        if self.error is not None:
            return False
        if self._ended_whole or self.is_cut_off:
            return True
        n = self._request.params.get("n")
        return is_whole(
            self.sum,
            n if isinstance(n, int) else 1,
            terminated=self.done,
            has_terminator=getattr(self.decoder, "has_terminator", True),
            doubtful=self._doubtful,
        )

    @property
    def done(self) -> bool:
        """Whether the dialect's terminator has arrived."""
        return self._body is not None and self._body.done

    def completion(self) -> Completion:
        """Return the completion so far."""
        return self.sum.completion()

    def _misread(self, error: Exception) -> None:
        """Take what a decoder or the sum raises for a response of an unexpected shape.

        They do not check shapes beforehand, because that would cost time for every chunk.
        """
        self.over = True
        if self.error is not None:
            return  # the first error counts
        if not isinstance(error, RitellmError):
            error = APIResponseValidationError(f"the response has an unexpected shape ({error!r})")
        self._fail(error)

    def _delivered(self, pieces: list[Piece], *, last: bool, buffer: bool = False) -> Batch:
        """Return `pieces` for delivery: joined to the interrupted answer, merged, numbered."""
        try:
            if self._continuation:
                pieces = [*self._continuation.join(expanded(pieces))]
            if self.is_buffered and self.emits_chunks:
                pieces = self._merged(pieces, buffer and not last, last)
        except Exception as error:
            self._misread(error)
            pieces = []
        numbered = self._numbered(pieces)
        if self.undelivered:
            numbered, self.undelivered = [*self.undelivered, *numbered], []
        return numbered

    def _merged(self, pieces: list[Piece], keep: bool, last: bool) -> list[Piece]:
        """Return `pieces` merged as the caller wants; too few of them stay in the buffer."""
        wanted = self._request.buffer
        buffered = [*self._buffer, *(expanded(pieces) if wanted.chunks else pieces)]
        size = wanted.chunks or len(buffered) or 1
        ready = len(buffered)
        if keep or not (last or wanted.seconds):
            ready = ready // size * size if wanted.chunks else 0
        self._buffer = buffered[ready:]
        self._doubtful = self._doubtful or reopens(buffered[:ready])
        return [merge_chunks(buffered[at : min(at + size, ready)]) for at in range(0, ready, size)]

    def _numbered(self, pieces: list[Piece]) -> Batch:
        """Add `pieces` to the sum; return them with their numbers, if chunks are emitted.

        Most chunks belong to a run. A run is added as a whole, and its chunks are made only for
        delivery.
        """
        total, attempt, added, run = self.sum, self.attempt, 0, None
        try:
            for piece in pieces:
                if isinstance(piece, Run):
                    run = piece.number(attempt, total.count)
                    if not self.has_content:
                        self.has_content = any(run.texts)
                    total.add_run(run)
                else:
                    set_attempt(piece, attempt)
                    set_seq(piece, total.count)
                    if not self.has_content or not piece.get("choices"):
                        self._look_at(piece)
                    if self.may_follow is not None:
                        self._note_cut(piece)
                    total.add(piece)
                added += 1
        except Exception as error:
            self._misread(error)
            pieces = pieces[:added]  # those before the odd one
        if not self.emits_chunks:
            return []
        if run is None:
            return cast(list[Chunk], pieces)
        return run if len(pieces) == 1 and len(run.texts) > _FEW else expanded(pieces)

    def _look_at(self, chunk: Chunk) -> None:
        """Note whether `chunk` has content; give it choices to read if it has none."""
        if not chunk.get("choices"):
            chunk["choices"] = NoChoices()
        if not self.has_content:
            self.has_content = any(map(has_text, chunk["choices"]))

    def _note_cut(self, chunk: Chunk) -> None:
        """Take a `length` out of `chunk`, if another exchange continues the answer."""
        choices = chunk.get("choices") or ()
        if not any(choice.get("finish_reason") == "length" for choice in choices):
            return
        if self.has_content and self.may_follow is not None and self.may_follow(self):
            self.is_cut_off = True
            for choice in choices:
                choice["finish_reason"] = None

    def _truncated(self) -> StreamTruncatedError:
        if self.sum.count == 0:
            began = f"; it began with {self._begin!r}" if self._begin.strip() else ""
            return StreamTruncatedError(f"the response ended before its first chunk{began}")
        if self.done:
            return StreamTruncatedError("the answer is empty: the provider closed it at once")
        return StreamTruncatedError(
            f"the stream ended after {self.sum.count} chunks, before the provider closed it"
        )

    def _fail(self, error: RitellmError) -> None:
        error.provider = self.endpoint.provider.name
        error.model = self._request.model
        error.message = self._shown(error.message)
        error.args = (error.message,)
        if isinstance(error.code, str):
            error.code = self._shown(error.code)
        error.attempts = self._attempts
        self.error = error

    def _shown(self, text: str) -> str:
        """Return `text` without secrets, and not longer than an error needs."""
        # A secret that is cut in half is not recognized, so the text is cut again afterwards.
        shown = self.endpoint.scrub(text[: _LONGEST_MESSAGE + _LONGEST_SECRET])
        return shown if len(shown) <= _LONGEST_MESSAGE else f"{shown[:_LONGEST_MESSAGE]} ..."

    def discarded(self, *, kept: bool = False) -> Discarded | None:
        """Return this attempt as one whose response is not used; None if it is not billed."""
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
        # An error as the first event is a refusal: it came too late for a status.
        return (
            bool(self.sum.count)
            or error is None
            or isinstance(error, (APIConnectionError, Timeout))
        )

    def attach_partial(self) -> None:
        """Attach the completion so far to `error`, once it is certain to be raised."""
        if self.error is not None and self.sum.count:
            self.error.partial = self.sum.completion()
