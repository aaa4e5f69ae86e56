"""Whether the provider refuses fewer requests if the job sends less: a table of shares."""

from __future__ import annotations

import pytest

from ritellm.rate_limits.sample import Share
from ritellm.rate_limits.verdict import Verdict, verdict


@pytest.mark.parametrize(
    ("before", "after", "enough", "found"),
    [
        (Share(50, 100), Share(50, 100), False, Verdict.SAME),
        (Share(20, 100), Share(19, 100), False, Verdict.SAME),
        (Share(20, 100), Share(80, 100), False, Verdict.WORSE),
        (Share(50, 100), Share(0, 100), False, Verdict.LESS),
        (Share(90, 100), Share(10, 100), True, Verdict.LESS),
        (Share(30, 100), Share(2, 16), False, None),  # too few requests
        (Share(30, 100), Share(2, 16), True, Verdict.LESS),
        (Share(5, 100), Share(0, 100), True, Verdict.SAME),  # within the tolerance
        (Share(10, 100), Share(0, 0), False, None),
    ],
)
def test_the_verdict_compares_the_shares_before_and_after(before, after, enough, found):
    assert verdict(before, after, 0.05, enough) is found


def test_a_tolerated_difference_counts_as_none():
    before, after = Share(50, 100), Share(75, 100)
    assert verdict(before, after, 0.0, True) is Verdict.WORSE
    assert verdict(before, after, 0.3, True) is Verdict.SAME
    before, after = Share(50, 100), Share(20, 100)
    assert verdict(before, after, 0.0, True) is Verdict.LESS
    assert verdict(before, after, 0.3, True) is Verdict.SAME


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_with_enough_requests_there_is_always_a_verdict(share):
    for refused in range(65):
        after = Share(refused, 64)
        assert verdict(Share(round(share * 100), 100), after, 0.06, True) is not None
