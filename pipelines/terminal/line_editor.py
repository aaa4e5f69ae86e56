"""Reads lines from a terminal with the keys of a shell, while the live view draws them.

The problem: completions grow on the screen while the next prompt is typed. An editor that draws its
line itself would write between them.

The idea: `prompt_toolkit` (extra `terminal`) reads the keys and edits the line: arrows, history,
words, delete, paste of several lines, any script. It draws into nothing, and the view shows its
text and cursor after each key.

What holds: the terminal has its settings from before once `restore` was called. Ctrl-C is a signal
to the program, as if this editor did not read it as a key.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_input
from prompt_toolkit.output import DummyOutput

Shown = Callable[[str | None, int], None]
# The terminal marks what is pasted, so that its line ends do not send it.
_MARK_PASTES, _STOP_MARKING = b"\x1b[?2004h", b"\x1b[?2004l"


class LineEditor:
    """Yields the typed lines; calls `shown` with the unfinished line and its cursor.

    Ctrl-D on an empty line ends the input: then `shown` gets None.
    """

    def __init__(self, fd: int, shown: Shown) -> None:
        import termios

        self._fd, self._shown = fd, shown
        self._before: Any = termios.tcgetattr(fd)
        self._input = create_input(os.fdopen(os.dup(fd), encoding="utf-8", errors="replace"))
        self._session: PromptSession[str] = PromptSession(
            input=self._input,
            output=DummyOutput(),
            history=InMemoryHistory(),
            editing_mode=EditingMode.EMACS,
        )
        self._session.default_buffer.on_text_changed += self._show
        self._session.default_buffer.on_cursor_position_changed += self._show
        # From now on, not only while a line is read: keys between two lines are not lost.
        self._input.raw_mode().__enter__()
        atexit.register(self.restore)

    def restore(self) -> None:
        """Reset the terminal to its settings from before."""
        import termios

        before, self._before = self._before, None
        if before is not None:
            with suppress(OSError, termios.error):
                os.write(self._fd, _STOP_MARKING)
                termios.tcsetattr(self._fd, termios.TCSADRAIN, before)

    def __iter__(self) -> Iterator[bytes]:
        with suppress(OSError):
            os.write(self._fd, _MARK_PASTES)
        while True:
            self._shown("", 0)
            try:
                line = self._session.prompt(handle_sigint=False)
            except KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGINT)  # the program stops, or asks for another one
                continue
            except (EOFError, OSError):
                self._shown(None, 0)
                return
            yield line.encode("utf-8", "replace")

    def _show(self, buffer: Any) -> None:
        self._shown(buffer.text, buffer.cursor_position)
