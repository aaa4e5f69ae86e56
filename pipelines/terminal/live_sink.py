"""The live view of this process, as a sink. Imports `rich` only when the view is shown."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.shutdown import on_sudden_end
from transforms.elements import Completion, DeadLetter, Delta, Prompt

if TYPE_CHECKING:
    from pipelines.terminal.live_view import LiveView

_INSTALL = "for a live view on the terminal: pip install 'ritellm-beam[terminal]'"
_SHOW_CURSOR = b"\x1b[?25h"


def is_live() -> bool:
    """Return whether standard output is a terminal and the library for the live view exists."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def hint() -> str | None:
    """Return how to install the library if only that is missing for the live view."""
    return _INSTALL if sys.stdout.isatty() and not is_live() else None


@functools.cache
def view() -> LiveView:
    """Return the one live view of this process."""
    from pipelines.terminal.live_view import LiveView

    on_sudden_end(_show_cursor)
    return LiveView()


class LiveSink:
    """The sink that shows outcomes in the live view of this process."""

    def check(self) -> None:
        """Do nothing: the terminal exists."""

    def publish(self, batch: Iterable[Delta | Completion | DeadLetter]) -> None:
        """Show the outcomes of `batch`."""
        view().show(batch)

    def close(self) -> None:
        """Leave what was printed."""
        view().close()


def show_prompt(prompt: Prompt) -> Prompt:
    """Add a line for `prompt` to the live view of this process; returns the prompt."""
    return view().add_prompt(prompt)


def _show_cursor() -> None:
    """Show the cursor, which `rich` hides while it draws: a sudden end skips its cleanup.

    A signal handler calls this. `sys.stdout` may be locked by the code that it interrupts.
    """
    os.write(1, _SHOW_CURSOR)
