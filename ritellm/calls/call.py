"""One completion over all its attempts: retries, fallbacks, deadlines, timing. No I/O.

Problem: a completion may take several attempts, at several models, before and after its first
chunk. The caller sees one stream, one deadline and one account of what happened.

Idea: a call owns the current `Exchange` and everything that outlives it. The loop over the attempts
passes in the time and a random number. The call returns the chunks for the bytes that arrive, and
the delay before the next attempt.

    start() --> attempt under way --receive_data/receive_eof--> finish()
      ^                |
      |                +-- error --> retry_delay() --raises--> the caller gets the error
      +---- rest ------------------------+

Invariants:
- After the first delivered chunk, only `on_interrupt` allows another attempt.
- Time that the caller or the gate takes is excused: it does not count against the provider.
- An error is raised with the partial completion and with all attempts that were billed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ritellm.calls import resume
from ritellm.calls.backoff import Backoff
from ritellm.calls.exchange import Exchange
from ritellm.calls.plan import Plan
from ritellm.chunks.run import Batch
from ritellm.endpoints import Endpoint, Take
from ritellm.errors import APIError, APIResponseValidationError, RitellmError, Timeout
from ritellm.timing import Timing
from ritellm.types import Completion, Discarded, HttpRequest

if TYPE_CHECKING:
    from ritellm.rate_limits.gate import Gate, Share

# An answer that max_tokens cuts off is continued by at most this many further requests.
MOST_CONTINUATIONS = 8

# Reading at intervals may delay the end of an answer by this share of its duration.
_IMPATIENCE = 0.05


class Call:
    """The state of one completion: its current attempt, its deadline, its timing.

    With a `gate`, throttled attempts cost time but no retries. Without `emit_chunks` the caller
    wants the whole completion only.
    """

    def __init__(
        self, plan: Plan, now: float, gate: Gate | Share | None = None, emit_chunks: bool = True
    ) -> None:
        self.plan = plan  # the current one: a fallback replaces it
        self.gate = gate
        self.tag = ""  # names this call in a recording
        self.records = True  # if the plan says so; the file can still be written
        # Attempts.
        self.exchange: Exchange | None = None  # the current attempt
        self.attempts = 0
        self.why: RitellmError | None = None  # the reason for the current attempt, if not the first
        self.discarded: list[Discarded] = []  # accepted attempts that a newer one replaced
        self.backoff = Backoff(plan, gate)  # of the current plan
        self._interrupted: Exchange | None = None  # the next attempt continues its answer
        # Time.
        self.timing = Timing(now)
        self._excused = 0.0  # seconds that do not count against `total`
        self._patient_since = self._sent_at = now  # when the current wait and attempt began
        # Delivery.
        self._emits_chunks = emit_chunks and plan.request.stream
        self._delivered = False  # the caller has received chunks of any attempt
        self._delivered_at = -math.inf

    def start(self, endpoint: Endpoint, now: float) -> Exchange:
        """Begin the next attempt, at `endpoint`, and return it."""
        self.attempts += 1
        self.backoff.tries += 1
        self.timing.retries = self.attempts - 1
        self._patient_since = self._sent_at = now
        self.timing.restart()
        request, before = self.plan.request, self._interrupted
        self._interrupted = None
        if before is not None:
            self.exchange = resume.continued(before, request, endpoint, self.attempts)
        else:
            self.exchange = Exchange(request, endpoint, self.attempts)
        if not self._emits_chunks:
            self.exchange.discard_chunks()
        if self.plan.on_length == "continue" and self.backoff.continued < MOST_CONTINUATIONS:
            self.exchange.may_follow = resume.can_follow
        return self.exchange

    def goes_on(self) -> bool:
        """Return whether a further attempt follows a complete one, whose length cut it off."""
        exchange = self.current
        if exchange.error is not None or not exchange.is_cut_off:
            return False
        self._interrupted, self.why = exchange, None
        self.backoff.continued += 1
        return True

    def discard_chunks(self) -> None:
        """Return no more chunks: the caller wants the whole completion only."""
        self._emits_chunks = False
        self.current.discard_chunks()

    def receive_data(self, data: bytes, now: float) -> Batch:
        """Return the chunks that `data` completes."""
        self.timing.bytes += len(data)
        exchange = self.exchange
        assert exchange is not None, "start() comes first"
        before = exchange.sum.count
        chunks = exchange.receive_data(data, buffer=exchange.is_buffered and self._is_early(now))
        if exchange.sum.count != before or chunks:
            self._progressed(exchange, now)
        return chunks

    def _is_early(self, now: float) -> bool:
        """Return whether the buffer's time has not passed since the last delivery."""
        # A little less than the buffer's time: a timer may fire early by the clock's grain.
        return now - self._delivered_at < self.plan.request.buffer.seconds * 0.9

    def receive_eof(self, now: float) -> Batch:
        """Return the chunks that the end of the body completes."""
        exchange = self.current
        before = exchange.sum.count
        chunks = exchange.receive_eof()
        if exchange.sum.count != before or chunks:
            self._progressed(exchange, now)
        if exchange.error is None:
            self.timing.ended = now
        return chunks

    def pause(self, now: float) -> float:
        """Return the seconds for which reading may pause.

        Without chunks to emit, that is a share of the time so far: a short answer must not wait for
        the end of a long pause.
        """
        seconds = self.plan.request.buffer.seconds
        return seconds if self._emits_chunks else min(seconds, (now - self._sent_at) * _IMPATIENCE)

    def parse_delay(self) -> float:
        """Return the seconds for which bytes that were read may stay unparsed.

        Zero before the first content, whose time is measured.
        """
        return 0.0 if self.timing.first_content is None else self.plan.request.buffer.seconds

    def excuse(self, seconds: float) -> None:
        """Add the caller's own time, which does not count against the provider."""
        self._patient_since += seconds

    @property
    def current(self) -> Exchange:
        """The attempt under way."""
        assert self.exchange is not None, "start() comes first"
        return self.exchange

    @property
    def deadline(self) -> tuple[float, str] | None:
        """When the nearest timeout ends, by the clock passed in, and its name; or None."""
        limits = self.plan.timeouts
        begun = self.timing.last_chunk is not None
        # A buffered chunk may stay unread for the time of the buffer.
        since = self._patient_since + self.plan.request.buffer.seconds
        candidates = [
            (since, limits.inter_chunk, "inter_chunk")
            if begun
            else (since, limits.first_chunk, "first_chunk"),
            (self.timing.started + self._excused, limits.total, "total"),
        ]
        ends = [(since + limit, name) for since, limit, name in candidates if limit is not None]
        return min(ends, default=None)

    def timed_out(self, name: str) -> Timeout:
        """Return the error for the timeout `name`."""
        seconds = getattr(self.plan.timeouts, name)
        final = name == "total"
        return Timeout(
            f"no progress: the {name} timeout of {seconds:g} s ran out",
            code=f"{name}_timeout",
            retryable=not final,
        )

    def retry_delay(self, now: float, jitter: float) -> float:
        """Return the seconds to wait before the next attempt; raises the error if it is final.

        A fallback may have replaced `plan` afterwards.
        """
        exchange = self.current
        error = exchange.error
        assert error is not None, "only a failed attempt is retried"
        delay = self.backoff.delay(error, exchange.endpoint, self._sent_at, now, jitter)
        if delay is not None and self.backoff.waits_for_server:
            self._excuse_attempt(now, delay)
        fallback = delay is None and bool(self.plan.fallbacks)
        if fallback:
            delay = 0.0
        following = self.plan.fallbacks[0] if fallback else self.plan
        begun = self._delivered and (self.plan.request.stream or self.backoff.continued > 0)
        on_interrupt = self._on_interrupt(following)
        final = delay is None or (begun and not self._may_go_on(on_interrupt, following))
        if delay is None or final or self._ends_within(now + delay):
            self.timing.ended = now
            error.message += self.plan.retry.refusal(error) if delay is None else ""
            exchange.attach_partial()
            self._discard(exchange, kept=True)
            error.discarded = tuple(self.discarded)
            raise error
        self.why = error
        if fallback:
            self._fall_back()
        if begun and on_interrupt == "continue":
            self._interrupted = exchange
        if self._interrupted is None or not exchange.endpoint.provider.quirks.background:
            self._discard(exchange, kept=self._interrupted is not None)
        return delay

    def unforeseen(self, error: BaseException) -> RitellmError | None:
        """Return this library's error for an exception that no rule foresees; it is final.

        None for an exception that may leave a call as it is: an error of this library, an
        interruption, and the exception that a mock or a recording raises on purpose.
        """
        exchange = self.exchange
        tape = exchange.endpoint.tape if exchange is not None else None
        on_purpose = tape is not None and any(take.error is error for take in tape.takes)
        if isinstance(error, RitellmError) or not isinstance(error, Exception) or on_purpose:
            return None
        endpoint = exchange.endpoint if exchange is not None else self.plan.endpoint
        answered = exchange is not None and exchange.status is not None
        what = "the response cannot be read" if answered else "the request cannot be sent"
        return (APIResponseValidationError if answered else APIError)(
            endpoint.scrub(f"{what}: {f'{error!r}':.300}"),
            provider=endpoint.provider.name,
            model=self.plan.request.model,
            attempts=self.attempts,
        )

    def _discard(self, exchange: Exchange, kept: bool) -> None:
        if lost := exchange.discarded(kept=kept):
            self.discarded.append(lost)

    def _may_go_on(self, on_interrupt: str, following: Plan) -> bool:
        """Return whether another attempt may follow chunks that the caller has received."""
        if on_interrupt == "continue":
            return resume.can_continue(self.current, following.endpoint)
        return on_interrupt == "restart"

    def _on_interrupt(self, plan: Plan) -> str:
        """Return what an interruption leads to: an answer that was continued once goes on."""
        return "continue" if self.backoff.continued else plan.on_interrupt

    def _fall_back(self) -> None:
        """Continue with the next fallback."""
        following, *rest = self.plan.fallbacks
        self.plan = replace(following, fallbacks=tuple(rest))
        self.backoff = Backoff(self.plan, self.gate)

    def cancellation(self) -> HttpRequest | None:
        """Return the request that cancels the response at the provider, if one is needed."""
        if self.exchange is None or self.plan.on_interrupt != "continue":
            return None
        return resume.cancellation(self.exchange, self.plan.request)

    def take(self) -> Take | None:
        """Return what to replay instead of sending a request, if this attempt has a tape."""
        tape = self.current.endpoint.tape
        return tape.take(self.backoff.tries) if tape else None

    def _excuse_attempt(self, now: float, delay: float) -> None:
        """Excuse an attempt that ended for the server's trouble, and the wait after it."""
        if self.timing.last_chunk is None:
            self._excused += now - self._sent_at
        self._excused += delay

    def excuse_wait(self, seconds: float) -> None:
        """Add the time that an attempt waited for the gate."""
        if self.attempts == 0:
            self.timing.started += seconds
        else:
            self._excused += seconds

    def finish(self, now: float) -> None:
        """Note that the answer is complete; reading after the terminator does not count."""
        if self.timing.ended is None:
            self.timing.ended = now

    def completion(self) -> Completion:
        """Return the completion so far, of the newest attempt."""
        completion = self.current.completion()
        completion._origin = f"{self.current.endpoint.provider.name}/{self.plan.request.model}"
        return completion

    def _ends_within(self, then: float) -> bool:
        total = self.plan.timeouts.total
        return total is not None and then >= self.timing.started + self._excused + total

    def _progressed(self, exchange: Exchange, now: float) -> None:
        """Note that chunks have arrived, for the caller or for the sum."""
        self._delivered = True
        self._delivered_at = self._patient_since = now
        timing = self.timing
        timing.chunks(now)
        if timing.first_content is None and exchange.has_content:
            timing.first_content = now
