"""Standard output of the programs: safe for a terminal, and quiet if its reader leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from ritellm.cli.encodings import tolerate
from ritellm.terminal import clean

# The status of a filter that SIGPIPE ends, as a shell reports it.
BROKEN_PIPE = 141


def put(text: str) -> None:
    """Write `text` at once. A pipe or a file gets it unchanged; a terminal would obey it."""
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def quietly(run: Callable[[], int | None]) -> int:
    """Return the status of `run`, or BROKEN_PIPE if the reader of stdout has left, as `head` does.

    A process that was started without stdout runs with /dev/null in its place.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    tolerate()
    try:
        status = run() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        return left_by_reader()
    except SystemExit:  # as after --help
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            return left_by_reader()
        raise
    return status


def left_by_reader() -> int:
    """Discard what is written from now on, and return BROKEN_PIPE.

    Without this the interpreter would report what it cannot write when it ends.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return BROKEN_PIPE
