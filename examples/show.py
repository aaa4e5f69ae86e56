"""Prints a line for each event of a growing completion."""

from __future__ import annotations

from ritellm import Finished, Grown, Superseded


def show(event: object) -> None:
    """Print `event`."""
    if isinstance(event, Grown):
        print(f"{event.id} + {event.added!r}", flush=True)
    elif isinstance(event, Finished):
        print(f"{event.id} = {event.text!r}", flush=True)
    elif isinstance(event, Superseded):
        print(f"{event.id} starts again", flush=True)
    else:
        print(f"{event.id} did not finish: {event.text!r}", flush=True)
