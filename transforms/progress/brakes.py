"""Describes what holds a job back, for its progress line."""

from __future__ import annotations

from collections.abc import Iterable

from ritellm.rate_limits.pace import Brake

# From the reason that stops a job to the one that slows it least.
_ORDER = ("pause", "limit", "rate", "queue", "rpm", "tpm", "trial", "noise")


def tightest_first(brakes: Iterable[Brake]) -> list[Brake]:
    """Return `brakes`, sorted by how much they hold the job back."""
    return sorted(brakes, key=_tightness)


def in_words(brake: Brake, briefly: bool = False) -> str:
    """Return what holds the job back, `briefly` for a narrow terminal."""
    refused = f", {percent(brake.refused)} refused" if brake.refused else ""
    match brake.reason:
        case "pause":
            return f"paused by the provider for {_seconds(brake.seconds)}"
        case "limit":
            if briefly:
                return f"provider allows {brake.allowed:,} in flight{refused}"
            rate = "" if brake.rate is None else f" ({_rate(brake)})"
            return f"limited to {brake.allowed:,} in flight{rate} by the provider{refused}"
        case "rate":
            rate = "" if brake.rate is None else f" to about {_rate(brake)}"
            return f"limited{rate} by the provider's headers{refused}"
        case "queue":
            return f"limited to {brake.allowed:,} in flight: more would only queue"
        case "trial":
            return f"{percent(brake.refused)} refused: trying {brake.allowed:,} in flight"
        case "noise":
            return f"{percent(brake.refused)} refused (noise)"
        case own:
            return f"limited by --{own}{refused}"


def percent(share: float) -> str:
    """Return a share as a percentage: 40 %, 3 %, 0.2 %."""
    return f"{share * 100:.{0 if share >= 0.01 or not share else 1}f} %"


def _tightness(brake: Brake) -> tuple[int, int, float]:
    return _ORDER.index(brake.reason), brake.allowed, -brake.refused


def _rate(brake: Brake) -> str:
    rate = brake.rate or 0.0
    return f"{rate:,.{0 if rate >= 10 else 1}f} requests/s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.{0 if seconds >= 1 else 1}f} s"
