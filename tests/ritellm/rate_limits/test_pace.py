"""How fast to send requests to a provider: tables, with times as arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.rate_limits.pace import Limits, Pace, rest

NO_HEADERS: dict[str, str] = {}


def pace(**limits):
    return Pace(Limits(**limits), now=0.0)


def fill(made, now):
    """Start all requests that may start at `now`; return their permits."""
    permits = []
    while made.wait(now) == 0:
        permits.append(made.start(now))
    return permits


def accept(made, permits, now):
    """Record that all of them were accepted and completed."""
    for permit in permits:
        made.accepted(permit, now, NO_HEADERS)
        made.completed(permit, None, now)
        made.end(permit, now)


def refuse(made, permits, now, retry_after=None, headers=None):
    for permit in permits:
        made.refused(permit, now, retry_after, headers)
        made.end(permit, now)


# The caller's limits


def test_starts_stay_within_the_cap():
    made = pace(max_in_flight=8)
    permits = fill(made, 0.0)
    assert len(permits) == made.in_flight == made.allowed == 8
    assert made.wait(0.0) is None
    made.end(permits[0], 0.1)
    assert made.wait(0.1) == 0


def test_requests_per_minute_are_limited():
    made = pace(max_in_flight=1000, rpm=60)
    accept(made, fill(made, 0.0), 0.0)
    assert made.refusals == 0
    assert made.wait(0.0) == pytest.approx(1.0)
    assert len(fill(made, 10.0)) == 6
    assert len(fill(made, 11.0)) == 1


def test_tokens_per_minute_are_reserved_and_corrected():
    made = pace(max_in_flight=1000, tpm=6000)
    permit = made.start(0.0, tokens=600)
    assert made.wait(0.0, tokens=100) == pytest.approx(1.0)
    made.end(permit, 0.0, used=100)
    assert made.wait(0.0, tokens=100) == 0
    permit = made.start(0.0, tokens=100)
    made.end(permit, 0.0, used=1000)
    assert made.wait(0.0, tokens=100) > 5


def test_tokens_stay_reserved_without_a_usage():
    made = pace(max_in_flight=1000, tpm=6000)
    made.end(made.start(0.0, tokens=600), 0.0)
    assert made.wait(0.0, tokens=100) == pytest.approx(1.0)


def test_a_request_larger_than_the_bucket_waits_for_a_full_bucket():
    made = pace(max_in_flight=10, tpm=600)
    assert made.wait(0.0, tokens=10_000) == 0
    made.start(0.0, tokens=10_000)
    assert made.wait(0.0, tokens=1) > 900


# Limit headers


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}, 2.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0s"}, 60.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "4s"}, 1.0),
        ({"x-ratelimit-remaining-requests": "500", "x-ratelimit-reset-requests": "4s"}, 0.0),
        ({"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "4s"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0"}, 0.0),
        ({"x-ratelimit-remaining-requests": "odd", "x-ratelimit-reset-requests": "odd"}, 0.0),
        ({}, 0.0),
    ],
)
@pytest.mark.parametrize("taken", [True, False], ids=["accepted", "refused"])
def test_the_rest_of_a_header_budget_is_spread_over_time(headers, wait, taken):
    made = pace(max_in_flight=64)
    permit = made.start(0.0)
    if taken:
        made.accepted(permit, 0.0, headers)
    else:
        made.refused(permit, 0.0, None, headers)
    assert made.wait(0.0) == pytest.approx(wait)


def test_an_older_response_does_not_overrule_a_newer_one():
    made = pace(max_in_flight=64)
    older, newer = made.start(0.0), made.start(1.0)
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10s"}
    fresh = {"x-ratelimit-remaining-requests": "900", "x-ratelimit-reset-requests": "10s"}
    made.accepted(newer, 2.0, spent)
    made.accepted(older, 3.0, fresh)
    assert made.wait(3.0) == pytest.approx(8.0)  # counts from the start of the request
    made.accepted(made.start(4.0), 4.0, fresh)
    assert made.wait(4.0) == 0


def test_the_longer_wait_of_two_budgets_counts():
    made = pace(max_in_flight=64)
    spent = {
        f"x-ratelimit-{what}-{kind}": value
        for kind, reset in (("requests", "2s"), ("tokens", "5s"))
        for what, value in (("remaining", "0"), ("reset", reset))
    }
    made.accepted(made.start(0.0), 0.0, spent)
    assert made.wait(0.0) == pytest.approx(5.0)


SEVERAL = [
    {
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "5s",
        "anthropic-ratelimit-output-tokens-remaining": "9000",
        "anthropic-ratelimit-output-tokens-reset": "60s",
    },
    {
        "x-ratelimit-remaining-requests-minute": "0",
        "x-ratelimit-reset-requests-minute": "5",
        "x-ratelimit-remaining-requests-day": "14000",
        "x-ratelimit-reset-requests-day": "80000",
    },
]


@pytest.mark.parametrize("headers", SEVERAL, ids=["input and output", "minute and day"])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_spent_budget_of_several_of_one_kind_counts(headers, backwards):
    made = pace(max_in_flight=64)
    named = reversed(headers.items()) if backwards else headers.items()
    made.accepted(made.start(0.0), 0.0, dict(named))
    assert made.wait(0.0) == pytest.approx(5.0)


@pytest.mark.parametrize("absurd", ["1795377630", "1795377630000", "1000000000", "86400", "-1"])
def test_no_wait_exceeds_give_up_after(absurd):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": absurd}
    made = pace(max_in_flight=8, give_up_after=60)
    refuse(made, fill(made, 0.0), 0.1, float(absurd), headers)
    wait = made.wait(0.1)
    assert wait is not None
    assert 0 <= wait <= 60


# Refusals


def test_one_refusal_among_many_accepted_requests_delays_no_other():
    made = pace(max_in_flight=32)
    permits = fill(made, 0.0)
    accept(made, permits[1:], 0.1)
    refuse(made, permits[:1], 0.1, retry_after=30.0)
    assert made.wait(0.1) == 0
    assert made.allowed == 32
    assert made.refusals == 1


def test_retry_after_with_nothing_accepted_pauses_all_and_then_grows_from_one():
    made = pace(max_in_flight=32)
    refuse(made, fill(made, 0.0), 0.1, retry_after=5.0)
    assert made.wait(0.1) == pytest.approx(5.0, abs=0.5)
    assert made.wait(4.0) > 0
    brake = made.brake(1.0)
    assert brake is not None
    assert (brake.reason, brake.allowed) == ("pause", 1)
    assert brake.seconds == pytest.approx(4.0, abs=0.5)
    now = 5.2
    assert len(fill(made, now)) == 1
    started = [len(fill(made, now + step / 2)) for step in range(1, 5)]
    assert started == sorted(started)  # without a refusal, twice as many each time
    assert started[0] < 3 < started[-1]


def test_a_timeout_lowers_the_window_as_a_refusal_does():
    made = pace(max_in_flight=32)
    for permit in fill(made, 0.0):
        made.overloaded(permit, 10.0)
        made.end(permit, 10.0)
    assert made.allowed < 32
    assert not made.calm(10.0)
    assert made.refusals == 0  # the provider refused none
    assert made.breaker.open_after(1e6) is None


# The time to first chunks


def test_a_server_that_queues_limits_the_requests_in_flight():
    """The server completes 20 requests per second, at any number in flight."""
    made, now = pace(max_in_flight=64), 0.0
    accept(made, fill(made, now), now)
    for round_ in range(200):
        permits = fill(made, now)
        queued = round_ > 5 and len(permits) > 20
        seconds = len(permits) / 20 if queued else 1.0
        for number, permit in enumerate(permits):
            answered = now + seconds * (number + 1) / len(permits)
            made.accepted(permit, now, NO_HEADERS)
            made.completed(permit, seconds, answered)
        now += seconds
        for permit in permits:
            made.end(permit, now)
    assert made.allowed < 45
    assert not made.calm(now)
    brake = made.brake(now)
    assert brake is not None
    assert (brake.reason, brake.allowed) == ("queue", made.allowed)


# The brake


def test_there_is_no_brake_while_the_caller_sets_the_pace():
    made = pace(max_in_flight=8)
    accept(made, fill(made, 0.0), 0.1)
    assert made.brake(0.1) is None
    assert made.calm(0.1)


def test_the_brake_of_a_few_refusals_is_noise():
    made = pace(max_in_flight=32)
    permits = fill(made, 0.0)
    accept(made, permits[1:], 0.1)
    refuse(made, permits[:1], 0.1)
    brake = made.brake(0.1)
    assert brake is not None
    assert brake.reason == "noise"
    assert brake.refused == pytest.approx(1 / 32)
    assert made.brake(3600.0) is None  # the refusals are too old


def test_the_brake_of_a_window_that_has_just_fallen_is_trial():
    made = pace(max_in_flight=32)
    permits = fill(made, 0.0)
    accept(made, permits[::2], 0.1)
    refuse(made, permits[1::2], 0.1)
    brake = made.brake(0.1)
    assert brake is not None
    assert (brake.reason, brake.allowed) == ("trial", made.allowed)
    assert made.allowed < 32
    assert not made.calm(0.2)


def test_the_brake_of_a_spent_budget_is_pause():
    made = pace(max_in_flight=8)
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}
    made.accepted(made.start(0.0), 0.0, spent)
    brake = made.brake(0.0)
    assert brake is not None
    assert (brake.reason, brake.seconds) == ("pause", pytest.approx(9.0))


# The breaker


def test_the_breaker_counts_from_the_first_refusal_since_an_acceptance():
    made = pace(max_in_flight=4, give_up_after=60)
    permit, other = made.start(0.0), made.start(0.0)
    assert made.breaker.open_after(1e6) is None
    assert made.breaker.opens_in(0.0) is None
    made.refused(permit, 10.0, 1.0)
    made.refused(other, 50.0, 1.0)  # the first one counts
    assert made.breaker.open_after(69.0) is None
    assert made.breaker.opens_in(30.0) == pytest.approx(40.0)
    assert made.breaker.open_after(70.0) == 60.0
    assert made.breaker.opens_in(100.0) == 0.0
    made.accepted(made.start(70.0), 70.0, NO_HEADERS)
    assert made.breaker.open_after(1000.0) is None
    assert made.breaker.opens_in(1000.0) is None


def test_an_open_breaker_allows_one_probe_at_a_time():
    made = pace(max_in_flight=4, give_up_after=60)
    refuse(made, [made.start(0.0)], 0.1)
    refuse(made, [made.start(99.0)], 99.9)
    assert made.breaker.open_after(100.0) is not None
    assert not made.breaker.may_probe(made.in_flight, 100.0)
    assert made.breaker.may_probe(made.in_flight, 160.0)
    trial = made.start(160.0)
    assert not made.breaker.may_probe(made.in_flight, 161.0)  # one at a time
    refuse(made, [trial], 162.0)
    assert not made.breaker.may_probe(made.in_flight, 162.1)
    assert made.breaker.may_probe(made.in_flight, 222.0)


# The rest of a refused request


def test_a_rest_becomes_longer_with_each_refusal_up_to_a_limit():
    rests = [rest(refusals, None, 0.5) for refusals in range(1, 30)]
    assert rests == sorted(rests)
    assert 0 < rests[0] < rests[2]
    assert rests[9] <= 1.0  # chance explains this many refusals
    assert rests[-1] <= 30.0


@given(
    refusals=st.integers(1, 10_000),
    jitter=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.floats(0, 1e9),
)
def test_a_rest_is_at_least_as_long_as_retry_after(refusals, jitter, asked):
    seconds = rest(refusals, asked, jitter)
    assert seconds > 0
    assert (asked or 0.0) <= seconds <= max(asked or 0.0, 30.0) + 10


def test_refused_requests_do_not_return_all_at_once():
    for asked in (None, 1.0):
        assert len({rest(1, asked, jitter / 10) for jitter in range(10)}) == 10
