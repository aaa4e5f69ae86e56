"""The imports of a program: how Ctrl-C ends them, and how they take less time.

An exception in the middle of an import prints a traceback, or the import swallows it. While a
program starts it has nothing to tidy up. So the signal ends the process at once, with one line.

Imports make a million objects and hardly any garbage. The collector looks at all of them again and
again, which takes a third of the time of importing Beam. So it rests meanwhile. What no program
uses is not imported (`_leave_out_command_lines`).
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from pipelines.scripts import module_of

INTERRUPTED = 130


def end_while_importing() -> None:
    """Let Ctrl-C end the program that a command imports, until it sets a handler of its own.

    Does nothing in a process that imports this package for another reason.
    """
    name = _program(sys.orig_argv, sys.argv[:1])
    if name is not None:
        _leave_out_command_lines()
    if (
        name is not None
        and _is_main()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _End(name))


def _leave_out_command_lines() -> None:
    """Let httpx import without its command line, for which it would load rich, click and pygments.

    httpx does without them where they are not installed, which None says.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


def end_as_usual() -> None:
    """Undo `end_while_importing`: the program has been imported."""
    if isinstance(signal.getsignal(signal.SIGINT), _End):
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Import modules of the program `name` in the block: Ctrl-C and SIGTERM end it at once."""
    numbers = (signal.SIGINT, signal.SIGTERM) if _is_main() else ()
    before = {number: signal.signal(number, _End(name)) for number in numbers}
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for number, handler in before.items():
            signal.signal(number, handler)


def _program(command: list[str], first: list[str]) -> str | None:
    """Return the name of the program of this package that `command` runs, or None.

    `first` is the first argument of the running program: "-m" while Python looks for a module, and
    else the path of a script.
    """
    if first and (module := module_of(first[0])):
        return module.rpartition(".")[2]
    for option, module in zip(command, [*command[1:], ""], strict=False):
        if option.startswith("-m"):
            package, _, name = (option[2:] or module).rpartition(".")
            return name if package == "pipelines" and first == ["-m"] else None
    return None


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


class _End:
    """The handler of the signals."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def __call__(self, number: int, frame: Any) -> NoReturn:
        # The interrupted code may hold the lock of sys.stderr.
        os.write(2, f"{self._name}: stopped before the job started\n".encode())
        os._exit(INTERRUPTED)
