"""Lines typed on a terminal that others draw on: what is typed is shown by them, not echoed."""

from __future__ import annotations

import atexit
import codecs
import os
from collections.abc import Callable, Iterator
from typing import Any

_ERASE, _KILL_LINE, _END = "\x7f\x08", "\x15", "\x04"


class Keyboard:
    """Yields the lines that are typed; `shown` is called with the unfinished one as it changes.

    Backspace and Ctrl-U edit, Ctrl-D on an empty line ends. The terminal is put back by `restore`,
    at the latest when the program ends.
    """

    def __init__(self, fd: int, shown: Callable[[str | None], None]) -> None:
        import termios
        import tty

        self._fd, self._shown = fd, shown
        self._before: Any = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSADRAIN)  # what was typed before counts, too
        atexit.register(self.restore)

    def restore(self) -> None:
        """Put the terminal back as it was."""
        import termios

        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            self._before = None

    def __iter__(self) -> Iterator[bytes]:
        line, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        self._shown(line)
        while data := os.read(self._fd, 4096):
            for char in decoder.decode(data):
                if char in "\r\n":
                    yield line.encode()
                    line = ""
                elif char == _END and not line:
                    self._shown(None)
                    return
                else:
                    line = edited(line, char)
            self._shown(line)


def edited(line: str, char: str) -> str:
    """Return `line` after `char` was typed; what cannot be seen changes nothing."""
    if char in _ERASE:
        return line[:-1]
    if char == _KILL_LINE:
        return ""
    return line + char if char.isprintable() else line
