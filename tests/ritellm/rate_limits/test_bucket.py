"""The token bucket of the caller's limits per minute, with times as arguments."""

from __future__ import annotations

import pytest

from ritellm.rate_limits.bucket import Bucket


def taken_at_once(bucket, now):
    count = 0
    while bucket.ready(1, now) <= now:
        bucket.take(1, now)
        count += 1
    return count


def test_without_a_limit_any_amount_may_be_taken():
    bucket = Bucket(None, 0.0)
    bucket.take(1e9, 0.0)
    assert bucket.ready(1e9, 5.0) == 5.0


def test_a_tenth_of_the_limit_per_minute_may_be_taken_at_once():
    bucket = Bucket(60, 0.0)
    assert taken_at_once(bucket, 0.0) == 6
    assert bucket.ready(1, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("now", "taken"), [(1.0, 1), (3.5, 3), (6.0, 6), (600.0, 6)])
def test_it_fills_steadily_up_to_its_capacity(now, taken):
    bucket = Bucket(60, 0.0)
    taken_at_once(bucket, 0.0)
    assert taken_at_once(bucket, now) == taken


def test_a_full_bucket_holds_at_least_one():
    bucket = Bucket(1, 0.0)
    assert taken_at_once(bucket, 0.0) == 1
    assert bucket.ready(1, 0.0) == pytest.approx(60.0)


def test_more_than_the_capacity_waits_for_a_full_bucket_and_is_owed():
    bucket = Bucket(600, 0.0)
    bucket.take(30, 0.0)
    assert bucket.ready(10_000, 0.0) == pytest.approx(3.0)
    assert bucket.ready(10_000, 3.0) == 3.0
    bucket.take(10_000, 3.0)
    assert bucket.ready(1, 3.0) > 900


def test_a_refund_does_not_overfill_it():
    bucket = Bucket(60, 0.0)
    bucket.take(2, 0.0)
    bucket.take(-100, 0.0)
    assert taken_at_once(bucket, 0.0) == 6
