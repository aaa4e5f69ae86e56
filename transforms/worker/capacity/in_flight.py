"""The prompts in flight in this process, for a viewer that looks at them now and then.

Nothing is sent to the viewer: it reads the sums that the streams keep anyway, from a thread of its
own. So a slow viewer cannot slow a stream down, and without a viewer a prompt costs two entries in
a dict.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from transforms.elements import Prompt


class _Request(Protocol):
    @property
    def prompt(self) -> Prompt:
        """The prompt that is sent."""


class _Stream(Protocol):
    @property
    def attempts(self) -> int:
        """The number of requests that were sent."""

    def pieces(self, field: str, start: int) -> list[object]:
        """Return what a field of the delta has gained."""


class Run(Protocol):
    """A prompt in flight, and the stream that was opened last for it."""

    @property
    def request(self) -> _Request:
        """The request of the prompt."""

    @property
    def newest(self) -> _Stream | None:
        """The stream, None before the first request."""


_numbers: Iterator[int] = itertools.count()
_runs: dict[int, Run] = {}


def enter(run: Run) -> int:
    """Show `run` to viewers; returns its number, which grows with time."""
    number = next(_numbers)
    _runs[number] = run
    return number


def leave(number: int) -> None:
    """Show the run no longer."""
    _runs.pop(number, None)


def runs() -> Mapping[int, Run]:
    """Return the runs in flight by number, the oldest first."""
    while True:
        with suppress(RuntimeError):  # the event loop has changed it meanwhile
            return dict(_runs)
