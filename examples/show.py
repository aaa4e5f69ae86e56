"""Prints a line for each event of a growing completion."""

from __future__ import annotations

from ritellm import Finished, Grown, Superseded
from ritellm.terminal import clean_line


def show(event: object) -> None:
    """Print `event`. A program that keeps texts keeps them by `event.key`, not by its id."""
    id = clean_line(getattr(event, "id", ""))  # it may be hostile, and this is a terminal
    if isinstance(event, Grown):
        print(f"{id} + {event.added!r}", flush=True)
    elif isinstance(event, Finished):
        print(f"{id} = {event.text!r}", flush=True)
    elif isinstance(event, Superseded):
        print(f"{id} starts again", flush=True)
    else:
        print(f"{id} did not finish: {event.text!r}", flush=True)
