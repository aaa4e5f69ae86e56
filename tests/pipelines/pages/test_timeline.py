"""Sums over time stay bounded, and merge to the same sums in any order."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.timeline import MOST_BUCKETS, Timeline


class Count:
    def __init__(self):
        self.n = 0

    def merge(self, other):
        self.n += other.n


def counted(times):
    timeline = Timeline(Count)
    for time in times:
        timeline.at(time).n += 1
    return timeline


def shown(timeline):
    return timeline.width, [(start, count.n) for start, count in timeline]


def test_a_short_job_has_buckets_of_a_second():
    assert shown(counted([1000.2, 1000.9, 1002.0])) == (1.0, [(1000.0, 2), (1002.0, 1)])


def test_the_width_doubles_when_there_would_be_too_many_buckets():
    timeline = counted([1000.0 + second for second in range(300)])
    assert timeline.width == 2.0
    assert len(timeline) == 150
    assert {count.n for _, count in timeline} == {2}


@pytest.mark.parametrize("hours", [1, 24, 24 * 365])
def test_a_job_of_any_length_has_at_most_so_many_buckets(hours):
    timeline = counted([1e9 + hours * 3600 * part / 1000 for part in range(1000)])
    starts = [start for start, _ in timeline]
    assert MOST_BUCKETS / 2 <= (starts[-1] - starts[0]) / timeline.width + 1 <= MOST_BUCKETS
    assert sum(count.n for _, count in timeline) == 1000
    assert all(later - earlier >= timeline.width for earlier, later in pairwise(starts))


times = st.lists(st.floats(0, 2e9), max_size=40)


@given(times, times, times)
def test_parts_that_are_merged_in_any_order_are_the_whole(one, two, three):
    whole = shown(counted(one + two + three))
    for parts in ((one, two, three), (three, one, two), (two, three, one)):
        merged = Timeline(Count)
        for part in parts:
            merged.merge(pickle.loads(pickle.dumps(counted(part))))
        assert shown(merged) == whole
