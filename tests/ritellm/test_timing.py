"""The stopwatch and the quantiles. Times are passed in, so no test waits."""

from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.quantiles import Quantiles
from ritellm.timing import Timing


def arrivals(*times, started=100.0):
    timing = Timing(started)
    for now in times:
        timing.chunks(now)
    return timing


def test_times_are_none_before_their_events():
    timing = Timing(100.0)
    assert (timing.ttft, timing.total, timing.first_chunk, timing.last_chunk) == (None,) * 4
    assert timing.inter_chunk == {"p50": None, "p95": None, "p99": None}


def test_ttft_runs_from_the_start_to_the_first_content():
    timing = arrivals(101.0, 103.0)
    timing.first_content = 103.0
    assert timing.first_chunk == 101.0
    assert timing.ttft == 3.0


def test_the_total_runs_from_the_start_to_the_end():
    timing = arrivals(101.0, 103.0)
    assert timing.total is None
    timing.ended = 104.5
    assert timing.total == 4.5


@pytest.mark.parametrize(
    ("gaps", "p50", "p95", "p99"),
    [
        ([], None, None, None),
        ([1.0], 1.0, 1.0, 1.0),
        ([3.0, 1.0, 2.0], 2.0, 3.0, 3.0),
        ([4.0, 1.0, 2.0, 3.0], 2.0, 4.0, 4.0),
        ([float(n) for n in range(100, 0, -1)], 50.0, 95.0, 99.0),
        ([float(n) for n in range(1, 201)], 100.0, 190.0, 198.0),
    ],
)
def test_the_gaps_between_arrivals_are_ranked(gaps, p50, p95, p99):
    times = [100.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    assert arrivals(*times).inter_chunk == {"p50": p50, "p95": p95, "p99": p99}


def test_the_pause_before_another_attempt_does_not_count_as_a_gap():
    timing = arrivals(101.0, 102.0)
    timing.restart()
    for now in (200.0, 203.0):
        timing.chunks(now)
    assert timing.inter_chunk == {"p50": 1.0, "p95": 3.0, "p99": 3.0}
    assert timing.last_chunk == 203.0


def test_it_becomes_json():
    timing = arrivals(101.0, 102.0)
    timing.first_content, timing.ended = 101.0, 103.0
    assert orjson.loads(orjson.dumps(timing.as_dict())) == {
        "ttft": 1.0,
        "inter_chunk": {"p50": 1.0, "p95": 1.0, "p99": 1.0},
        "total": 3.0,
    }


# Quantiles

VALUES = st.floats(1e-6, 1e6)
SHARES = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]) | st.floats(0, 1)


def counted(values):
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    return quantiles


@given(st.lists(VALUES, min_size=1, max_size=60), SHARES)
def test_a_quantile_is_within_one_percent_of_the_value_of_its_rank(values, share):
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert counted(values).at(share) == pytest.approx(exact, rel=0.01 + 1e-9)


@given(st.lists(st.lists(VALUES, max_size=20), max_size=5))
def test_merging_equals_adding_all_values(groups):
    everything = counted([value for group in groups for value in group])
    parts = [counted(group) for group in groups]
    merged = Quantiles()
    merged.merge(parts)
    assert merged.count == everything.count == sum(map(len, groups))
    shares = [n / 20 for n in range(21)]
    assert [merged.at(share) for share in shares] == [everything.at(share) for share in shares]
    assert [part.count for part in parts] == [len(group) for group in groups]


def test_without_values_a_quantile_is_none():
    assert Quantiles().at(0.5) is None
    assert Quantiles().count == 0


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-9])
def test_a_value_below_a_microsecond_counts_as_a_microsecond(value):
    assert counted([value]).at(0.5) == pytest.approx(1e-6, rel=0.01)


def test_the_summary_stays_small():
    quantiles = counted([1.0003**n for n in range(60_000)])  # from 1 to 65 million
    assert quantiles.count == 60_000
    assert len(quantiles._counts) < 1_000
