"""Reads lines from a terminal without echo, because the live view draws the typed line itself."""

from __future__ import annotations

import atexit
import codecs
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

# Arrow and function keys send escape sequences; without this their letters would be typed.
_KEYS = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\[O])")
_ERASE, _KILL_LINE, _END = "\x7f\x08", "\x15", "\x04"


class Keyboard:
    """Yields the typed lines; calls `shown` with the unfinished line each time it changes.

    Backspace and Ctrl-U edit the line; Ctrl-D on an empty line ends the input. `restore` resets the
    terminal; it runs at the latest when the program ends.
    """

    def __init__(self, fd: int, shown: Callable[[str | None], None]) -> None:
        import termios
        import tty

        self._fd, self._shown = fd, shown
        self._before: Any = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSADRAIN)  # keeps what was typed before
        atexit.register(self.restore)

    def restore(self) -> None:
        """Reset the terminal to its settings from before."""
        import termios

        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            self._before = None

    def __iter__(self) -> Iterator[bytes]:
        line, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        self._shown(line)
        while data := os.read(self._fd, 4096):
            for char in _KEYS.sub("", decoder.decode(data)):
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
    """Return `line` after `char` was typed; an invisible character changes nothing."""
    if char in _ERASE:
        return line[:-1]
    if char == _KILL_LINE:
        return ""
    return line + char if char.isprintable() else line
