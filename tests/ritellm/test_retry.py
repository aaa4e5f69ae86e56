"""Whether to retry, and how long to wait first, as tables: no clock and no waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.errors import APIConnectionError, BadRequestError, RateLimitError
from ritellm.retry import RetryPolicy

BUSY = RateLimitError("busy")


def asks(seconds):
    return RateLimitError("busy", retry_after=seconds)


@pytest.mark.parametrize(
    ("attempt", "jitter", "expected"),
    [
        (1, 0.0, 0.25),
        (1, 0.5, 0.375),
        (2, 0.0, 0.5),
        (3, 0.0, 1.0),
        (6, 0.0, 8.0),
        (7, 0.0, 10.0),  # half of the longest delay
        (9, 0.0, 10.0),
        (9, 0.5, 15.0),
        (2000, 0.5, 15.0),
    ],
)
def test_the_delay_doubles_up_to_the_longest_with_jitter(attempt, jitter, expected):
    policy = RetryPolicy(num_retries=10_000)
    assert policy.delay(attempt, BUSY, jitter) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_retries", "attempt", "again"),
    [(2, 1, True), (2, 2, True), (2, 3, False), (0, 1, False), (1, 1, True), (1, 2, False)],
)
def test_the_number_of_retries_does_not_count_the_first_attempt(num_retries, attempt, again):
    delay = RetryPolicy(num_retries=num_retries).delay(attempt, BUSY, 0.5)
    assert (delay is not None) is again


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (BUSY, True),
        (APIConnectionError("gone"), True),
        (BadRequestError("no"), False),
        (RateLimitError("no money", retryable=False), False),
        (BadRequestError("but again", retryable=True), True),
    ],
)
def test_only_retryable_errors_are_retried(error, again):
    assert (RetryPolicy().delay(1, error, 0.5) is not None) is again


@pytest.mark.parametrize(
    ("policy", "asked", "jitter", "expected"),
    [
        (RetryPolicy(), 7.0, 0.0, 7.025),  # never earlier, plus jitter
        (RetryPolicy(), 7.0, 0.5, 7.0375),
        (RetryPolicy(), 0.0, 0.0, 0.025),
        (RetryPolicy(), 120.0, 0.0, 120.025),
        (RetryPolicy(), 120.1, 0.0, None),  # longer than `longest_wait`
        (RetryPolicy(), float("inf"), 0.0, None),
        (RetryPolicy(longest_wait=3.0), 4.0, 0.0, None),
        (RetryPolicy(longest_delay=1.0), 60.0, 0.0, 60.025),  # a minimum, not a maximum
    ],
)
def test_retry_after_is_the_minimum_delay(policy, asked, jitter, expected):
    delay = policy.delay(1, asks(asked), jitter)
    assert delay == (None if expected is None else pytest.approx(expected))


@given(
    attempt=st.integers(1, 60),
    jitter=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.floats(0, 120),
)
def test_no_delay_is_negative_or_too_early_or_endless(attempt, jitter, asked):
    delay = RetryPolicy(num_retries=60).delay(attempt, asks(asked), jitter)
    assert (asked or 0.0) <= delay <= (asked or 0.0) + 20.0


def test_an_error_says_that_its_wait_was_too_long():
    policy = RetryPolicy(longest_wait=60.0)
    assert policy.refusal(asks(3600.0)) == (
        " (the provider asks to wait 3600 s, and the longest wait is 60 s)"
    )
    assert policy.refusal(asks(60.0)) == policy.refusal(asks(None)) == ""
    assert policy.refusal(RateLimitError("busy", retryable=False, retry_after=3600.0)) == ""
