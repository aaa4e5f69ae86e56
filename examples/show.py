"""What the consumers here print: a line for each thing that happens to an answer."""

from __future__ import annotations

from ritellm import Finished, Grown, Superseded


def show(event: object) -> None:
    """Print `event`."""
    if isinstance(event, Grown):
        print(f"{event.id} + {event.added!r}", flush=True)
    elif isinstance(event, Finished):
        print(f"{event.id} = {event.text!r}", flush=True)
    elif isinstance(event, Superseded):
        print(f"{event.id} begins anew", flush=True)
    else:
        print(f"{event.id} was never finished: {event.text!r}", flush=True)
