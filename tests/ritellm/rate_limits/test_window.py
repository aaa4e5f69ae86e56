"""How many requests may be in flight, learned from refusals: jobs with simulated providers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretended import Job, Refusal

from ritellm.rate_limits.sample import Permit
from ritellm.rate_limits.window import Window

MOST = 64
ROWS = 2000


def accepts_all(now, in_flight):
    return None


def noisy(share, seed=1, refusal=Refusal()):  # noqa: B008
    """Return a provider that refuses this share of requests at random."""
    dice = random.Random(seed)
    return lambda now, in_flight: refusal if dice.random() < share else None


def capped(cap):
    return lambda now, in_flight: Refusal() if in_flight >= cap else None


def stormy(begin, end, refusal=Refusal()):  # noqa: B008
    """Return a provider that refuses everything between two moments."""
    return lambda now, in_flight: refusal if begin <= now < end else None


def bucket(rate, full):
    """Return a provider that accepts `rate` requests per second."""
    state = [0.0, float(full)]

    def provider(now, in_flight):
        since, level = state
        level = min(full, level + (now - since) * rate)
        state[:] = now, level - (level >= 1)
        return None if level >= 1 else Refusal()

    return provider


def seconds_of(provider, rows=ROWS, **options):
    job = Job(provider, **options).run(rows)
    assert job.done == rows
    return job.now


IDEAL = seconds_of(accepts_all)


# Noise


def test_a_provider_that_refuses_nothing_gets_the_largest_window():
    job = Job(accepts_all, max_in_flight=MOST).run(ROWS)
    assert {allowed for _, allowed in job.allowed[100:]} == {MOST}
    assert not job.pace.window.held


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("share", "at_most"), [(0.01, 1.3), (0.05, 1.5), (0.2, 2.2), (0.5, 4.5)])
def test_random_refusals_cost_little_more_than_their_share(share, at_most, seed):
    assert seconds_of(noisy(share, seed)) < at_most * IDEAL


def test_a_few_refusals_change_nothing():
    job = Job(noisy(0.02)).run(ROWS)
    assert sum(allowed < MOST for _, allowed in job.allowed[100:]) < 0.2 * ROWS


def test_the_window_returns_after_noise():
    job = Job(noisy(0.3)).run(3 * ROWS)
    assert min(allowed for _, allowed in job.allowed) < MOST  # there was a trial
    late = [allowed for _, allowed in job.allowed[ROWS:]]
    assert sum(late) / len(late) > 0.8 * MOST
    assert job.pace.window.expected == pytest.approx(0.3, abs=0.15)


def test_noise_with_a_long_retry_after_delays_only_the_refused_requests():
    job = Job(noisy(0.05, refusal=Refusal(retry_after=1.0))).run(ROWS)
    assert job.now < 2 * IDEAL + 2
    assert job.pace.window.paused_until == 0.0


def test_noise_that_has_ended_is_forgotten():
    dice = random.Random(1)

    def provider(now, in_flight):
        return Refusal() if now < 5 and dice.random() < 0.3 else None

    job = Job(provider).run(4 * ROWS)
    assert job.pace.window.expected < 0.1
    assert job.allowed[-1][1] == MOST


# Congestion


@pytest.mark.parametrize("cap", [4, 16, 32])
def test_a_cap_on_requests_in_flight_is_found(cap):
    job = Job(capped(cap), max_in_flight=128).run(ROWS)
    ideal = ROWS / cap * 0.3
    assert job.done == ROWS
    assert job.now < 1.35 * ideal
    assert job.refused < 0.3 * job.sent
    late = [allowed for _, allowed in job.allowed[ROWS // 2 :]]
    assert 0.6 * cap < sum(late) / len(late) < 1.6 * cap
    assert job.pace.window.held
    brake = job.pace.brake(job.now)
    assert brake is not None
    assert brake.reason in ("limit", "trial")


@pytest.mark.parametrize("late", [0.0, 0.002, 0.01])
def test_the_window_grows_after_a_cap_is_lifted_also_with_late_timers(late):
    provider = capped(8)
    job = Job(lambda now, flying: provider(now, flying) if now < 10 else None, late=late).run(8000)
    allowed = [allowed for now, allowed in job.allowed if now > 16]
    assert allowed[0] > 0.8 * MOST


@pytest.mark.parametrize("rate", [20, 100])
def test_a_limit_on_requests_per_second_is_found(rate):
    job = Job(bucket(rate, rate / 5), max_in_flight=128).run(ROWS)
    assert job.done == ROWS
    assert job.now < 1.4 * ROWS / rate
    assert job.refused < 0.35 * job.sent


@pytest.mark.parametrize("retry_after", [None, 0.5])
def test_a_storm_pauses_all_requests_and_the_job_recovers(retry_after):
    job = Job(stormy(2.0, 5.0, Refusal(retry_after))).run(ROWS)
    assert job.done == ROWS
    assert job.now < IDEAL + 3.0 + 4.0
    assert job.refused < 3 * MOST
    late = [allowed for now, allowed in job.allowed if now > 9.0]
    assert min(late, default=MOST) > 0.7 * MOST


def test_a_job_recovers_from_a_storm_at_its_beginning():
    job = Job(stormy(0.0, 3.0)).run(ROWS)
    assert job.done == ROWS
    assert job.now < IDEAL + 3.0 + 5.0
    assert job.refused < 2 * MOST


def test_few_requests_are_sent_while_nothing_is_accepted():
    job = Job(stormy(0.0, 1e9)).run(ROWS, until=60.0)
    assert job.done == 0
    assert job.sent < 3 * MOST
    assert job.pace.window.size < 2


def test_retry_after_pauses_all_requests_while_nothing_is_accepted():
    starts = []

    def provider(now, in_flight):
        starts.append(now)
        return Refusal(retry_after=20.0) if now < 5 else None

    job = Job(provider).run(ROWS)
    assert job.done == ROWS
    assert not [now for now in starts if 5 < now < 20]


# Single steps


class Turned:
    """A window, a clock, and the permits of the requests in flight."""

    def __init__(self, most):
        self.window, self.now, self.flying = Window(most, 0.0), 0.0, []

    def fill(self):
        begun = len(self.flying)
        while self.window.wait(len(self.flying), self.now) == 0:
            permit = Permit(self.now)
            self.flying.append(permit)
            self.window.start(permit, len(self.flying), self.now)
        return len(self.flying) - begun

    def end(self, *, refused, retry_after=None, count=None):
        for permit in self.flying[:count]:
            self.flying.remove(permit)
            if refused:
                self.window.refused(permit, len(self.flying), self.now, retry_after)
            else:
                self.window.accepted(permit, len(self.flying) + 1, self.now)
                self.window.completed(self.now - permit.started, self.now)


def test_an_unknown_provider_gets_a_small_window_first():
    made = Turned(1000)
    assert made.fill() < 100
    made.now = 1.0
    assert made.fill() > 0  # there was no refusal


def test_one_refusal_of_a_small_window_changes_nothing():
    made = Turned(4)
    made.fill()
    made.end(refused=True, count=1)
    assert made.window.size == 4
    assert made.fill() == 1


def test_few_requests_in_flight_do_not_shrink_the_window_in_a_trial():
    made = Turned(MOST)
    made.fill()
    # Two of three: no run looks like an outage, and the share is too large for a larger window.
    for permit in [p for n, p in enumerate(made.flying) if n % 3]:
        made.flying.remove(permit)
        made.window.refused(permit, len(made.flying), 0.01, None)
    made.now = 0.3
    made.end(refused=False)
    before = made.window.size
    assert made.window.held
    for number in range(1, 4):
        permit = Permit(made.now)
        made.flying.append(permit)
        made.window.start(permit, number, made.now)
    made.end(refused=True, count=2)
    assert before - 2 <= made.window.size < before


def test_pauses_grow_until_an_acceptance():
    made = Turned(MOST)
    pauses = []
    for _ in range(12):
        made.fill()
        made.now += 0.01
        made.end(refused=True)
        pauses.append(made.window.paused_until - made.now)
        made.now = max(made.now, made.window.paused_until)
    assert pauses[0] > 0
    assert pauses == pytest.approx(sorted(pauses))
    assert 1 < pauses[-1] < 20
    made.fill()
    made.now += 0.01
    made.end(refused=False)
    assert made.window.paused_until <= made.now


def test_after_a_pause_one_request_starts_and_more_follow_without_a_refusal():
    made = Turned(MOST)
    made.fill()
    made.now = 0.05
    made.end(refused=True, retry_after=2.0)
    made.now = 2.0
    assert made.window.wait(0, made.now) == pytest.approx(0.05)
    made.now = made.window.paused_until
    assert made.fill() == 1
    found = []
    for _ in range(4):
        made.now += 0.25
        found.append(made.fill())
    assert found == sorted(found)
    assert 1 <= found[0] < found[-1]


def test_an_acceptance_of_a_request_sent_before_a_pause_does_not_count():
    made = Turned(MOST)
    made.fill()
    early = made.flying.pop(0)
    made.now = 0.05
    made.end(refused=True, retry_after=2.0)
    size = made.window.size
    made.window.accepted(early, 1, 1.0)
    assert made.window.size == size
    assert made.window.wait(0, 1.0) > 0


def test_the_window_keeps_a_ceiling_that_the_pace_sets():
    made = Turned(MOST)
    made.window.ceiling = 5.0
    assert made.fill() == 5
    assert made.window.wait(5, 100.0) is None


@settings(max_examples=30)
@given(st.data(), st.sampled_from([1, 2, 7, 20]))
def test_the_window_stays_within_its_bounds_and_no_request_waits_forever(data, most):
    made = Turned(most)
    for _ in range(30):
        made.fill()
        assert made.flying
        made.now += data.draw(st.sampled_from([0.01, 0.3, 3.0]))
        refused = data.draw(st.booleans())
        retry_after = data.draw(st.sampled_from([None, 0.1, 5.0]))
        count = data.draw(st.none() | st.integers(1, most))
        made.end(refused=refused, retry_after=retry_after, count=count)
        assert 1 <= made.window.size <= most
        while not made.flying and (wait := made.window.wait(0, made.now)):
            assert wait <= 60
            made.now += wait
