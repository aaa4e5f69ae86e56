"""The JSON forms of floats: JSON has no NaN and no infinity. Pure."""

from __future__ import annotations


def finite_or_name(value: float | None) -> float | str | None:
    """Return a finite number as it is, and the name of another: "NaN", "Infinity", "-Infinity"."""
    if value is None or value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
