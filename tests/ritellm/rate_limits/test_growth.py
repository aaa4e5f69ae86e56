"""How a full window grows, with times as arguments."""

from __future__ import annotations

import pytest

from ritellm.rate_limits.growth import Growth

PATIENCE = 0.1


def steps(growth, size, count, now=0.0):
    """Return the sizes of a full window as it grows, and the times of its steps."""
    found = []
    for _ in range(count):
        seconds, size = growth.larger(size, PATIENCE, now)
        now += seconds
        growth.grown_at = now
        found.append((now, size))
    return found


def accept(growth, size, count, probe=False):
    for _ in range(count):
        growth.accepted(size, probe)


def test_up_to_its_goal_a_window_doubles_once_a_refusal_would_have_arrived():
    found = steps(Growth(20.0, 0.0), 1.0, 5)
    assert [size for _, size in found] == [2, 4, 8, 16, 20]
    assert [now for now, _ in found] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_beyond_its_goal_it_grows_by_one_and_more_slowly():
    (first, size), (second, _) = steps(Growth(8.0, 0.0), 8.0, 2)
    assert size == 9
    assert first > PATIENCE
    assert second - first == pytest.approx(first)


def test_below_its_goal_an_acceptance_adds_nothing():
    assert Growth(8.0, 0.0).gain(7.9) == 0.0


def test_beyond_its_goal_each_acceptance_adds_more_with_each_window_without_a_fall():
    growth = Growth(32.0, 0.0)
    gains = []
    for _ in range(4):
        gains.append(growth.gain(32.0))
        accept(growth, 32.0, 32)
    assert 0 < gains[0] < gains[1] < gains[2] < gains[3]
    accept(growth, 32.0, 10_000)
    assert growth.gain(32.0) == 1.0  # it doubles with each window at most
    growth.fell(32.0)
    assert growth.gain(32.0) == gains[0]


def test_a_small_window_needs_more_acceptances_than_its_size_to_grow_faster():
    growth = Growth(1.0, 0.0)
    before = growth.gain(1.0)
    accept(growth, 1.0, 3)
    assert growth.gain(1.0) == before


def test_a_refused_probe_lengthens_the_interval_and_an_accepted_one_shortens_it():
    growth = Growth(8.0, 0.0)

    def pause():
        return growth.larger(8.0, 0.0, 0.0)[0]

    usual = pause()
    growth.refused(probe=False)
    assert pause() == usual  # it was not a probe
    growth.refused(probe=True)
    rarer = pause()
    assert rarer > 1.5 * usual
    growth.accepted(8.0, probe=False)
    assert pause() == rarer
    growth.accepted(8.0, probe=True)
    assert usual < pause() < rarer
    for _ in range(100):
        growth.refused(probe=True)
    assert pause() < 60


def test_starts_are_spread_over_the_time_that_a_request_takes():
    growth = Growth(10.0, 0.0)
    assert growth.gap(10.0) == 0.0  # nothing is known
    growth.completed(2.0)
    usual = growth.gap(10.0)
    assert 0 < usual < 0.2  # ten requests in two seconds must be possible
    assert growth.gap(20.0) == pytest.approx(usual / 2)
    for _ in range(100):
        growth.completed(4.0)
    assert growth.gap(10.0) == pytest.approx(2 * usual, rel=0.01)


def test_one_slow_request_hardly_changes_the_spread():
    growth = Growth(10.0, 0.0)
    growth.completed(1.0)
    usual = growth.gap(10.0)
    growth.completed(3.0)
    assert usual < growth.gap(10.0) < 1.5 * usual


def test_each_fall_spreads_starts_more_evenly_and_each_clean_window_less():
    growth = Growth(20.0, 0.0)
    growth.completed(1.0)
    usual = growth.gap(20.0)
    growth.fell(20.0)
    even = growth.gap(20.0)
    assert usual < even
    for _ in range(100):
        growth.fell(20.0)
    assert growth.gap(20.0) < 1 / 20  # never slower than requests end
    accept(growth, 20.0, 10_000)
    assert 0 < growth.gap(20.0) < usual


def test_a_size_is_known_to_work_after_a_window_of_acceptances():
    growth = Growth(10.0, 0.0)
    growth.fell(10.0)
    growth.works_at(5.0)
    accept(growth, 30.0, 30)
    assert growth.works == 5.0  # the window was that size for one round only
    accept(growth, 40.0, 30)
    assert growth.works == 30.0
    growth.fell(20.0)
    accept(growth, 15.0, 15)
    assert growth.works == 30.0  # a fall alone does not change it
    assert growth.goal == 20.0
