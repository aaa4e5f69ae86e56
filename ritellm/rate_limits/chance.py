"""Which refusals the expected share explains, and which ones are a surprise. Pure.

The problem: at an expected share of 20 %, three refusals in a row are common. The window must fall
only for refusals that mean something.

The idea: a run of refusals is odd if chance rarely produces it in a whole window of requests. A
share is high if its confidence interval lies above the expected one. A held window expects fewer
refusals by chance than an open one, because there a refusal usually means that it is too large.
"""

from __future__ import annotations

from ritellm.rate_limits.sample import Share

# Refusals above the expected share that need no reaction.
TOLERATED = 0.06
# The number of requests that a high share needs.
_FEWEST = 16
# A run is odd if chance produces it less often than this in a window's worth of requests.
_ODD_IN_OPEN, _ODD_IN_HELD = 0.01, 0.1
# The share that counts as chance if the window expects a smaller one.
_CHANCE_IN_OPEN, _CHANCE_IN_HELD = 0.1, 0.0003


def is_odd(run: int, expected: float, size: float, is_open: bool) -> bool:
    """Return whether chance does not explain a run of `run` refusals in a window of `size`."""
    chance, rare = (_CHANCE_IN_OPEN, _ODD_IN_OPEN) if is_open else (_CHANCE_IN_HELD, _ODD_IN_HELD)
    return max(expected, chance) ** run < rare / max(8.0, size)


def is_high(share: Share, expected: float) -> bool:
    """Return whether `share` is surely above what is `expected` and tolerated."""
    return share.sent >= _FEWEST and share.at_least(2.0) > expected + TOLERATED


def is_acceptable(share: Share, expected: float) -> bool:
    """Return whether `share` may be as low as what is `expected` and tolerated."""
    return share.at_least() <= expected + TOLERATED
