"""Programs that a test starts as processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def started(argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a program, with the options of `Popen`, and wait for its end.

    If the block raises, the program is killed: a test that fails must not wait for ever.
    """
    with subprocess.Popen(argv, **options) as program:
        try:
            yield program
        except BaseException:
            program.kill()
            raise
