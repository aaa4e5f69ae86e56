"""The share of recent requests that a provider refused: tables, no clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.rate_limits.sample import Permit, Sample, Share


def sample_of(refused, spacing=1.0):
    """Return a sample of requests that started one after the other, and their permits."""
    made = Sample()
    permits = [Permit(number * spacing) for number in range(len(refused))]
    for permit, was_refused in zip(permits, refused, strict=True):
        made.add(permit)
        if was_refused:
            made.refused(permit, permit.started)
    return made, permits


@pytest.mark.parametrize(
    ("since", "until", "share"),
    [
        (0.0, 9.0, Share(2, 5)),
        (1.0, 3.0, Share(2, 3)),  # the bounds are inclusive
        (2.0, 2.5, Share(0, 1)),
        (4.5, 9.0, Share(0, 0)),
    ],
)
def test_a_share_counts_the_requests_sent_within_a_time(since, until, share):
    made, _ = sample_of([False, True, False, True, False])
    assert made.share(since, until) == share


def test_a_request_counts_as_accepted_until_it_is_refused():
    made, permits = sample_of([False] * 4)
    assert made.share(0.0, 9.0) == Share(0, 4)
    made.refused(permits[2], 9.0)
    assert made.share(0.0, 9.0) == Share(1, 4)


def test_a_request_may_start_while_another_thread_asks_for_the_share_and_the_rate():
    made, _ = sample_of([False, True] * 20, spacing=0.1)

    class Interrupted(Permit):
        """Another request starts while this one is looked at."""

        def __getattribute__(self, name):
            if name == "started":
                made.add(Permit(4.0))
            return super().__getattribute__(name)

    made.add(Interrupted(4.0))
    made.add(Permit(4.0))
    assert made.share(0.0, 9.0).refused == 20
    assert made.rate(9.0) is not None


def test_old_requests_are_forgotten():
    made, _ = sample_of([True] * 10_000)
    assert 100 <= made.share(0.0, 1e9).sent < 10_000
    assert made.share(0.0, 1000.0).sent == 0


@pytest.mark.parametrize(
    ("refused", "index", "run"),
    [
        ([1, 1, 1], 2, 3),
        ([1, 1, 1], 1, 2),  # later requests do not count
        ([1, 0, 1], 2, 1),
        ([1, 0, 0], 2, 0),
        ([0, 1, 1, 0], 2, 2),
    ],
)
def test_a_run_consists_of_consecutive_refusals_in_order_of_starts(refused, index, run):
    made, permits = sample_of(refused)
    assert made.run(permits[index]) == run


def test_a_forgotten_request_has_no_run():
    made, permits = sample_of([True] * 10_000)
    assert made.run(permits[0]) == 0


def test_the_patience_is_a_multiple_of_the_time_that_a_refusal_takes():
    made, [permit, other, *_] = sample_of([False] * 3, spacing=0.0)
    known = made.patience
    assert 0 < known < 0.5
    made.refused(permit, 1.0)
    assert made.patience > 2.0
    slow = made.patience
    made.refused(other, 0.01)
    assert known < made.patience < slow  # one quick refusal lowers it only in part


@pytest.mark.parametrize(
    ("share", "value"), [(Share(0, 0), 0.0), (Share(1, 4), 0.25), (Share(3, 3), 1.0)]
)
def test_the_value_of_a_share(share, value):
    assert share.value == value


@given(sent=st.integers(1, 500), part=st.floats(0, 1), deviations=st.floats(0.1, 3))
def test_the_bounds_of_a_share_enclose_it(sent, part, deviations):
    share = Share(round(sent * part), sent)
    low, high = share.at_least(deviations), share.at_most(deviations)
    assert -1e-9 <= low <= share.value + 1e-9
    assert share.value - 1e-9 <= high <= 1 + 1e-9
    assert low < high


def test_the_bounds_of_an_empty_share_are_0_and_1():
    assert (Share(0, 0).at_least(), Share(0, 0).at_most()) == (0.0, 1.0)


def test_more_requests_narrow_the_bounds():
    few, many = Share(1, 10), Share(100, 1000)
    assert few.at_least() < many.at_least() < 0.1 < many.at_most() < few.at_most()
    assert few.at_least(2.0) < few.at_least(1.0)
    # Wilson's interval of one deviation, by hand.
    assert (few.at_least(), few.at_most()) == pytest.approx((0.0389, 0.2339), abs=1e-3)
