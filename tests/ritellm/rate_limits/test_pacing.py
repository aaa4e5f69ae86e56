"""How fast a provider may be asked: tables over a clock that the test turns."""

from __future__ import annotations

import pytest

from ritellm.rate_limits.pace import Limits, Pace


def pace(**limits):
    return Pace(Limits(**limits), now=0.0)


def fill(made, now):
    """Start all that may start; returns how many."""
    count = 0
    while made.wait(now) == 0:
        made.start(now)
        count += 1
    return count


def answer_all(made, started, now):
    for _ in range(made.in_flight):
        made.accepted(started, now, {})
    for _ in range(made.in_flight):
        made.end(now)


def test_no_more_start_than_the_cap():
    made = pace(max_in_flight=8)
    assert fill(made, 0.0) == 8
    assert made.wait(0.0) is None
    made.end(0.1)
    assert made.wait(0.1) == 0


def test_a_refusal_allows_fewer_and_success_allows_more_again():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    made.refused(0.0, 1.0, None)
    cut = made.allowed
    assert cut == 7
    now = 2.0
    for _ in range(200):
        made.accepted(now, now, {})
    assert made.allowed == 10


def test_refusals_of_one_moment_count_once():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    for _ in range(10):
        made.refused(0.0, 1.0, None)
    assert made.allowed == 7
    assert made.throttled == 10


def test_retry_after_holds_everyone_and_then_one_goes_first():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    made.refused(0.0, 1.0, 5.0)
    answer_all(made, 0.0, 1.0)
    assert made.wait(2.0) == 4.0
    assert fill(made, 6.0) == 1
    assert made.wait(6.0) > 0
    made.accepted(6.0, 6.1, {})
    assert fill(made, 6.1) == made.allowed - 1


def test_one_that_goes_first_and_is_refused_costs_nothing_but_time():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    made.refused(0.0, 1.0, 1.0)
    answer_all(made, 0.0, 1.0)
    allowed = made.allowed
    fill(made, 2.0)
    made.refused(2.0, 2.1, 1.0)
    made.end(2.1)
    assert made.allowed == allowed
    assert made.wait(2.1) == 1.0
    assert fill(made, 3.1) == 1


def test_those_that_go_first_double_while_no_refusal_comes():
    """Refusals took 0.1 s, answers take seconds: after 0.4 s without a word two more are safe."""
    made = pace(max_in_flight=20)
    fill(made, 0.0)
    made.refused(0.0, 0.1, 1.9)
    answer_all(made, 0.0, 0.2)
    steps = []
    for now in (2.0, 2.1, 2.4, 2.7, 2.8, 3.2, 3.6):
        steps.append(fill(made, now))
    assert steps == [1, 0, 1, 0, 2, 4, 6]  # 14 are allowed
    assert made.wait(3.6) is None


def test_a_refusal_of_those_that_go_first_has_one_go_alone_again():
    made = pace(max_in_flight=20)
    fill(made, 0.0)
    made.refused(0.0, 0.1, 1.9)
    answer_all(made, 0.0, 0.2)
    assert [fill(made, now) for now in (2.0, 2.4, 2.8)] == [1, 1, 2]
    allowed = made.allowed
    for started in (2.0, 2.4, 2.8, 2.8):
        made.refused(started, 2.9, 1.0)
        made.end(2.9)
    assert made.allowed == allowed
    assert fill(made, 3.9) == 1
    assert made.wait(3.9) > 0


def test_once_one_of_those_that_went_first_is_accepted_a_refusal_says_that_they_are_too_many():
    made = pace(max_in_flight=20)
    fill(made, 0.0)
    made.refused(0.0, 0.1, 1.9)
    answer_all(made, 0.0, 0.2)
    assert [fill(made, now) for now in (2.0, 2.4)] == [1, 1]
    allowed = made.allowed
    made.accepted(2.0, 2.5, {})
    made.refused(2.4, 2.5, 1.0)
    assert made.allowed < allowed


def test_one_that_goes_first_and_is_lost_lets_another_go_first():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    made.refused(0.0, 1.0, 1.0)
    answer_all(made, 0.0, 1.0)
    fill(made, 2.0)
    made.abandoned(2.0)
    made.end(2.1)
    assert fill(made, 2.1) == 1


def test_an_answer_from_before_the_pause_does_not_end_it():
    made = pace(max_in_flight=10)
    fill(made, 0.0)
    made.refused(0.0, 1.0, 1.0)
    made.accepted(0.0, 1.5, {})
    for _ in range(10):
        made.end(1.6)
    assert fill(made, 2.0) == 1


def test_where_nobody_says_when_the_rate_that_got_through_is_kept():
    made = pace(max_in_flight=100)
    for number in range(50):
        now = number / 50
        made.start(now)
        made.accepted(now, now, {})
        made.end(now)
    made.start(1.0)
    made.refused(1.0, 1.0, None)
    made.end(1.0)
    started, now = 0, 1.0
    while now < 3.0:
        wait = made.wait(now)
        if wait == 0:
            made.start(now)
            made.end(now)
            started += 1
        else:
            now += wait
    assert 50 <= started <= 80  # 0.7 x 50 a second, for two seconds


def test_a_rate_that_was_learnt_while_little_was_asked_rises_quickly_once_all_is_calm():
    made = pace(max_in_flight=100)
    made.start(0.0)
    made.refused(0.0, 0.0, None)  # nothing had got through yet: one a second is all that is known
    made.end(0.0)
    now = 0.0
    while now < 20.0:
        wait = made.wait(now)
        if wait == 0:
            made.start(now)
            made.accepted(now, now, {})
            made.end(now)
        else:
            now += wait
    began = now
    for _ in range(50):
        now += made.wait(now)
        made.start(now)
        made.end(now)
    assert now - began < 1.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}, 2.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0s"}, 60.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "4s"}, 1.0),
        ({"x-ratelimit-remaining-requests": "500", "x-ratelimit-reset-requests": "4s"}, 0.0),
        ({"x-ratelimit-remaining-requests": "odd", "x-ratelimit-reset-requests": "odd"}, 0.0),
        ({}, 0.0),
    ],
)
def test_what_is_left_of_the_providers_budget_is_stretched(headers, wait):
    made = pace(max_in_flight=64)
    made.start(0.0)
    made.accepted(0.0, 10.0, headers)
    assert made.wait(10.0) == pytest.approx(wait)


def test_requests_a_minute_are_kept():
    made = pace(max_in_flight=1000, rpm=60)
    assert fill(made, 0.0) == 6  # a tenth at once
    assert made.wait(0.0) == pytest.approx(1.0)
    assert fill(made, 10.0) == 6
    assert fill(made, 11.0) == 1


def test_tokens_a_minute_are_reserved_and_corrected():
    made = pace(max_in_flight=1000, tpm=6000)
    made.start(0.0, tokens=600)
    assert made.wait(0.0, tokens=100) == pytest.approx(1.0)
    made.end(0.0, reserved=600, used=100)
    assert made.wait(0.0, tokens=100) == 0
    made.start(0.0, tokens=100)
    made.end(0.0, reserved=100, used=1000)
    assert made.wait(0.0, tokens=100) > 5


def test_a_request_larger_than_the_bucket_waits_for_a_full_one():
    made = pace(max_in_flight=10, tpm=600)
    assert made.wait(0.0, tokens=10_000) == 0
    made.start(0.0, tokens=10_000)
    assert made.wait(0.0, tokens=1) > 900


def test_the_breaker_says_for_how_long_there_was_nothing_but_refusals():
    made = pace(max_in_flight=4, give_up_after=60)
    made.start(0.0)
    made.refused(0.0, 10.0, 1.0)
    assert made.hopeless(69.0) is None
    assert made.hopeless(70.0) == 60.0
    made.accepted(70.0, 70.0, {})
    assert made.hopeless(1000.0) is None
