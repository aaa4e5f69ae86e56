"""Prints the models whose prices are known as a table for the terminal."""

from __future__ import annotations

from ritellm.prices import AS_OF, PRICES


def as_text(part: str = "") -> str:
    """Return a line for each model with `part` in its name, and "" if there is none.

    Prices are in USD per million tokens.
    """
    names = [name for name in PRICES if part.lower() in name.lower()]
    if not names:
        return ""
    width = max(map(len, names))
    rows = [
        _row(name, width, f"{PRICES[name].input:g}", f"{PRICES[name].output:g}") for name in names
    ]
    note = f"USD per million tokens, list prices of {AS_OF}"
    return "\n".join([_row("MODEL", width, "INPUT", "OUTPUT"), *rows, note])


def _row(name: str, width: int, input: str, output: str) -> str:
    return f"{name:<{width}}  {input:>8}  {output:>8}"
