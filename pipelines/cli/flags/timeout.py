"""The flag `--timeout`: how long each part of a request may take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from ritellm.suggest import did_you_mean
from ritellm.types import Timeouts
from transforms.worker.client.timeouts import TOTAL_SECONDS, with_total

_PARTS = tuple(field.name for field in fields(Timeouts))
_USUAL = Timeouts()
_UNBOUNDED = Timeouts(None, None, None, None)
_HELP = (
    "how long a request may take. A number of seconds sets connect, first_chunk and inter_chunk;"
    " PART=SECONDS sets one part, as in first_chunk=900,total=7200; none removes a bound. connect:"
    f" the time to reach the provider (default: {_USUAL.connect:g}). first_chunk: the time from the"
    f" request to the first chunk (default: {_USUAL.first_chunk:g}). inter_chunk: the time between"
    f" two chunks (default: {_USUAL.inter_chunk:g}). total: the time for all attempts at one"
    f" prompt, without waiting for rate limits (default: {TOTAL_SECONDS:g}, or twice first_chunk if"
    " that is longer)"
)


def add_timeout_option(made: Any) -> None:
    """Add the flag to a parser, or to a group of one."""
    made.add_argument("--timeout", action=_Joined, metavar="SECONDS|PART=SECONDS,...", help=_HELP)


class _Joined(argparse.Action):
    """Joins the texts of all `--timeout` flags; refuses what `parse` refuses."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Join and check."""
        before = getattr(namespace, self.dest)
        text = values if before is None else f"{before},{values}"
        try:
            parse(text)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, text)


def parse(text: str | None) -> Timeouts:
    """Return the timeouts that `text` stands for; raises ValueError, in one sentence.

    A plain number means the same as in `completion(timeout=...)`; a plain `none` removes all
    bounds. Parts take precedence over a plain value. `total` defaults to that of a job.
    """
    chosen: dict[str, float | None] = {}
    for name, seconds in _items(text):
        if name in chosen:
            raise ValueError(f"{name or 'a plain number'} must be given once, got it twice")
        chosen[name] = seconds
    is_plain = "" in chosen
    plain = chosen.pop("", None)
    limits = _UNBOUNDED if is_plain and plain is None else Timeouts.of(plain)
    return _with_parts(limits, chosen)


def _with_parts(limits: Timeouts, parts: Mapping[str, Any]) -> Timeouts:
    """Return `limits` with these parts, and with a job's usual total where they have none."""
    made = replace(limits, **parts)
    return made if "total" in parts or limits is _UNBOUNDED else with_total(made)


def _items(text: str | None) -> Iterator[tuple[str, float | None]]:
    """Yield parts and their seconds; a plain value's part is ""."""
    for item in text.split(",") if text is not None else ():
        name, equals, value = (each.strip() for each in item.rpartition("="))
        if equals and name not in _PARTS:
            hint = did_you_mean(name, _PARTS)
            raise ValueError(f"the part must be one of {', '.join(_PARTS)}, got {name!r}{hint}")
        yield name, _seconds(name, value)


def _seconds(name: str, text: str) -> float | None:
    if text == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(
            f"{name or 'the timeout'} must be a positive number of seconds or none, got {text!r}"
        )
    return seconds
