"""Workers with a `Pace` share one limit, simulated by `benchmarks.simulation.fleet`."""

from __future__ import annotations

import pytest

from benchmarks.simulation.fleet import simulate

retry_after = pytest.mark.parametrize(
    "retry_after", [1.0, None], ids=["Retry-After", "no Retry-After"]
)


@retry_after
@pytest.mark.parametrize("workers", [1, 10, 30])
def test_a_fleet_uses_its_limit_and_settles(workers, retry_after):
    outcome = simulate(workers, 120, retry_after=retry_after)
    assert outcome.mean("utilisation", 60) > 0.7
    assert outcome.mean("refused", 60) < (0.35 if workers <= 10 else 0.45)


@pytest.mark.xfail(
    reason="one worker of many cannot lower the share of refusals, so they count as noise"
)
@retry_after
@pytest.mark.parametrize("workers", [10, 30])
def test_few_requests_of_a_fleet_are_refused_and_its_workers_have_equal_shares(
    workers, retry_after
):
    outcome = simulate(workers, 60, retry_after=retry_after)
    assert outcome.mean("refused", 30) < 0.2
    assert outcome.fairness > 0.9


def test_a_much_too_large_fleet_still_uses_the_limit():
    outcome = simulate(200, 60, retry_after=1.0, fixed=True)
    assert outcome.mean("utilisation", 30) > 0.95
    assert outcome.mean("refused", 30) > 0.5


def test_a_fleet_below_the_limit_sees_no_refusals_once_it_has_settled():
    outcome = simulate(1, 60, retry_after=None, fixed=True)
    assert outcome.mean("refused", 30) == 0
