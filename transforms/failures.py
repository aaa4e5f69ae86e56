"""The limits of failures and their texts, for programs that have not imported Beam yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

# With fewer rows the share of failures means little.
LEAST = 100
# After this many rows in a row that the provider refused for the key, the account or the model, no
# row will succeed.
MOST_REFUSED = 20


class TooManyFailures(Exception):
    """More rows of the job have failed than its limit allows."""


def reasons(
    errors: Counter[str], examples: Mapping[str, str] = MappingProxyType({}), most: int = 3
) -> str:
    """Return the commonest errors in one line, each with its number, and an example if known."""
    return ", ".join(
        f"{count:,} x {name}" + (f" ({_short(examples[name])})" if name in examples else "")
        for name, count in errors.most_common(most)
    )


def _short(text: str, width: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
