"""One completion over all its attempts: which to try, how long to wait, what to deliver.

Between the two faces and the exchange; no I/O, and the clock and the dice are handed in.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ritellm.calls import resume
from ritellm.calls.exchange import Exchange
from ritellm.calls.plan import Plan
from ritellm.chunks.run import Batch
from ritellm.endpoints import Endpoint, Take
from ritellm.errors import RitellmError, Timeout
from ritellm.rate_limits.pace import rest
from ritellm.retry import is_throttle
from ritellm.timing import Timing
from ritellm.types import Completion, Discarded, HttpRequest

if TYPE_CHECKING:
    from ritellm.rate_limits.gate import Gate

# The part of a delay, and the seconds at most, for a request that fails while others do not; after
# so many times it is taken to be its own fault.
_ALONE, _LONGEST_ALONE, _SURELY_ALONE = 0.2, 0.3, 2
# The share of its time that the end of an answer may be noticed too late.
_IMPATIENCE = 0.05


class Call:
    """The state of one completion: its current attempt, its deadline, its timing."""

    def __init__(
        self, plan: Plan, now: float, gate: Gate | None = None, emit_chunks: bool = True
    ) -> None:
        self.plan = plan
        self.gate = gate  # where every attempt waits for its turn
        self.timing = Timing(now)
        self.tag = ""  # names this call in a recording
        self.attempts = 0
        self.why: RitellmError | None = None  # the newest attempt is not the first
        self._tries = 0  # attempts of the plan under way: a fallback starts anew
        self.exchange: Exchange | None = None
        self.discarded: list[Discarded] = []  # accepted, and given up for a newer attempt
        self._throttled = 0  # attempts that met a provider's "not now": not the request's fault
        self._throttled_since: float | None = None  # the newest attempts have met nothing else,
        self._refusals = 0  # and are so many
        self._failed_alone = 0  # failures while the provider took other requests
        self._excused = 0.0  # seconds of waiting and of refusals: none of them counts as `total`
        self._broken: Exchange | None = None  # the next attempt goes on with its answer
        # Else the caller wants the whole answer only.
        self._emits_chunks = emit_chunks and plan.request.stream
        self._delivered = False  # chunks of any attempt have reached the caller
        self._patient_since = self._asked_at = now
        self._delivered_at = -math.inf

    def start(self, endpoint: Endpoint, now: float) -> Exchange:
        """Return the next attempt, at `endpoint`."""
        self.attempts += 1
        self._tries += 1
        self.timing.retries = self.attempts - 1
        self._patient_since = self._asked_at = now
        self.timing.restart()
        request, before = self.plan.request, self._broken
        self._broken = None
        if before is not None:
            self.exchange = resume.go_on(before, request, endpoint, self.attempts)
        else:
            self.exchange = Exchange(request, endpoint, self.attempts)
        if not self._emits_chunks:
            self.exchange.discard_chunks()
        return self.exchange

    def discard_chunks(self) -> None:
        """Return no more chunks: the caller wants the whole completion only."""
        self._emits_chunks = False
        self.current.discard_chunks()

    def receive_data(self, data: bytes, now: float) -> Batch:
        """Return the chunks that `data` completes."""
        self.timing.bytes += len(data)
        # A little less than asked: a timer may fire early by the clock's grain.
        hold = now - self._delivered_at < self.plan.request.buffer.seconds * 0.9
        exchange = self.current
        before = exchange.sum.count
        chunks = exchange.receive_data(data, hold=hold)
        if exchange.sum.count != before or chunks:
            self._progressed(exchange, now)
        return chunks

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
        """Return the seconds for which nobody needs what comes now.

        Where only the whole is wanted, that is a share of the time it has taken so far: a short
        answer must not wait for the end of a long pause.
        """
        seconds = self.plan.request.buffer.seconds
        return seconds if self._emits_chunks else min(seconds, (now - self._asked_at) * _IMPATIENCE)

    def hold(self) -> float:
        """Return the seconds for which what has come of an unwatched answer may lie unread.

        No time before its first content, for that tells when it began.
        """
        return 0.0 if self.timing.first_content is None else self.plan.request.buffer.seconds

    def excuse(self, seconds: float) -> None:
        """Note that the caller was away for so long: what it took itself is nobody's delay."""
        self._patient_since += seconds

    @property
    def current(self) -> Exchange:
        """The attempt under way."""
        assert self.exchange is not None, "start() comes first"
        return self.exchange

    @property
    def deadline(self) -> tuple[float, str] | None:
        """When patience ends, on the clock handed in, and the name of the timeout; or None."""
        limits = self.plan.timeouts
        begun = self.timing.last_chunk is not None
        # What has come may lie there for so long before it is read.
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
        """Return the error for the timeout called `name`."""
        seconds = getattr(self.plan.timeouts, name)
        final = name == "total"
        return Timeout(
            f"no progress: the {name} timeout of {seconds:g} s ran out",
            code=f"{name}_timeout",
            retryable=not final,
        )

    def retry_delay(self, now: float, jitter: float) -> float:
        """Return the seconds to wait before the next attempt; raises the error if it is final.

        The next attempt may be the next plan's: look at `plan` again.
        """
        exchange = self.current
        error = exchange.error
        assert error is not None, "only a failed attempt is retried"
        delay = self._delay(error, now, jitter)
        fallback = delay is None and bool(self.plan.fallbacks)
        if fallback:
            delay = 0.0
        following = self.plan.fallbacks[0] if fallback else self.plan
        begun = self._delivered and self.plan.request.stream
        final = delay is None or (begun and not self._may_go_on(following))
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
        if begun and self.plan.on_interrupt == "continue":
            self._broken = exchange
        if self._broken is None or not exchange.endpoint.provider.quirks.background:
            self._discard(exchange, kept=self._broken is not None)
        return delay

    def _discard(self, exchange: Exchange, kept: bool) -> None:
        if lost := exchange.discarded(kept=kept):
            self.discarded.append(lost)

    def _may_go_on(self, following: Plan) -> bool:
        """Return whether an answer that the caller has seen the beginning of may go on."""
        if following.on_interrupt == "continue":
            return resume.can_go_on(self.current, following.endpoint)
        return following.on_interrupt == "restart"

    def _fall_back(self) -> None:
        """Go on with the next plan."""
        following, *rest = self.plan.fallbacks
        self.plan = replace(following, fallbacks=tuple(rest))
        self._tries = self._throttled = self._failed_alone = 0
        self._throttled_since = None

    def cancellation(self) -> HttpRequest | None:
        """Return what stops the provider, now that nobody awaits the answer any more; or None."""
        if self.exchange is None or self.plan.on_interrupt != "continue":
            return None
        return resume.cancellation(self.exchange, self.plan.request)

    def take(self) -> Take | None:
        """Return what to play instead of asking, if this attempt has a tape."""
        tape = self.current.endpoint.tape
        return tape.take(self._tries) if tape else None

    def _delay(self, error: RitellmError, now: float, jitter: float) -> float | None:
        """Return the delay; behind a gate, throttled attempts cost time but no retries."""
        gate, retry, tape = self.gate, self.plan.retry, self.current.endpoint.tape
        if tape is not None:
            return tape.delay(self._tries)
        if gate is None or not is_throttle(error):
            self._throttled_since = None
            return retry.delay(self._tries - self._throttled, error, jitter)
        self._throttled += 1
        if self._throttled_since is None:
            self._throttled_since, self._refusals = self._asked_at, 0
        self._refusals += 1
        waited = now - self._throttled_since
        if (left := gate.limits.give_up_after - waited) <= 0:
            error.message += f" (gave up after {waited:.0f} s of throttling)"
            return None
        delay = min(left, rest(self._refusals, error.retry_after, jitter))
        if self.timing.last_chunk is None:
            self._excused += now - self._asked_at
        self._excused += delay
        return delay

    def shortest_rest(self, delay: float) -> float:
        """Return what is enough of `delay` once the provider is known to take other requests.

        Backing off is for the provider's sake. Where a request fails alone, waiting helps nobody.
        """
        error = self.why
        if error is None or is_throttle(error) or error.retry_after is not None:
            return delay
        return min(delay * _ALONE, _LONGEST_ALONE)

    def longest_rest(self, delay: float) -> float:
        """Return how long to wait for the provider to take other requests."""
        alone = self._failed_alone >= _SURELY_ALONE
        return self.shortest_rest(delay) if alone else delay

    def rested(self, others_accepted: bool) -> None:
        """Note whether the provider took other requests while this one waited."""
        error = self.why
        # A refusal is not the request's fault, nor is a fallback to blame for the plan before it.
        if error is not None and self._tries and not is_throttle(error):
            self._failed_alone += others_accepted

    def excuse_wait(self, seconds: float) -> None:
        """Note that an attempt had to wait its turn: no time of the provider's."""
        if self.attempts == 0:
            self.timing.started += seconds
        else:
            self._excused += seconds

    def finish(self, now: float) -> None:
        """Note that the answer is whole; what was read behind it took no time of it."""
        if self.timing.ended is None:
            self.timing.ended = now

    def completion(self) -> Completion:
        """Return the completion so far, of the newest attempt."""
        return self.current.completion()

    def _ends_within(self, then: float) -> bool:
        total = self.plan.timeouts.total
        return total is not None and then >= self.timing.started + self._excused + total

    def _progressed(self, exchange: Exchange, now: float) -> None:
        """Note that chunks have come, for the caller or for the sum."""
        self._delivered = True
        self._delivered_at = self._patient_since = now
        timing = self.timing
        timing.chunks(now)
        if timing.first_content is None and exchange.has_content:
            timing.first_content = now
