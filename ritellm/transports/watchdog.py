"""Ends the wait for a stream when its deadline passes: one timer per stream, none per chunk.

Problem: the deadline moves with every chunk, and a timer per chunk would cost more than the chunk.

Idea: one timer runs to the deadline that was valid when it started. Then it checks whether the
deadline has moved, and if so runs again.

The process may have been stopped, or the event loop busy, while chunks arrived. So after the
deadline the loop gets a few turns to read what the sockets hold. A server that sends and sends
cannot prolong them.

    disarmed --with watchdog:--> armed --deadline passes--> doubting --turns--> fired
        ^                          |                           |        (the task is cancelled)
        +----- the wait ends ------+----------- progress ------+

Invariant: only a task that waits inside `with watchdog:` is cancelled.
"""

from __future__ import annotations

import asyncio
import sys

from ritellm.calls.call import Call

# Turns of the event loop after the deadline: in a row without a byte, and in total.
_QUIET_TURNS = 8
_MOST_TURNS = 64


class Watchdog:
    """Cancels the task that waits for `call` once `call.deadline` has passed.

    `with watchdog:` arms it for the waits of the current task inside the block.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        # The deadline.
        self._timer: asyncio.Handle | None = None
        self._drain_ends: float | None = None  # replaces the deadline of the call
        self._begun = False  # the first chunk has come
        # The task to cancel.
        self._task: asyncio.Task[object] | None = None  # None: disarmed
        self._cancelling = _cancelling()  # cancellations from before this attempt
        self.fired: str | None = None  # the name of the timeout that cancelled the task

    def __enter__(self) -> None:
        """Arm for the current task."""
        self._task = asyncio.current_task()
        if self._timer is None:
            self._check_later()
        self.heed_progress()

    def __exit__(self, *_: object) -> None:
        """Disarm."""
        self._task = None

    def heed_progress(self) -> None:
        """Switch to the deadline between chunks, once the first chunk has come."""
        if not self._begun and self._call.timing.last_chunk is not None:
            # The one moment at which a deadline may move forward: after a first chunk that may
            # take minutes, the next may have to come in seconds.
            self._begun = True
            if self._timer is not None:
                self._timer.cancel()
            self._check_later()

    def stop(self) -> None:
        """Disarm for good."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drain(self, seconds: float) -> None:
        """Replace the deadline: the end of the body must come within `seconds`."""
        self._drain_ends = self._loop.time() + seconds
        self.stop()

    def uncancel(self) -> bool:
        """Undo the cancellation by this watchdog; return whether another one remains."""
        task = asyncio.current_task()
        if sys.version_info >= (3, 11) and task is not None:
            return task.uncancel() > self._cancelling
        return False

    def _ends(self) -> tuple[float, str] | None:
        if self._drain_ends is not None:
            return self._drain_ends, "drain"
        return self._call.deadline

    def _check_later(self) -> None:
        """Schedule the next check, also if the deadline has passed already.

        The task runs at this moment. A cancellation now would hit whatever it waits for next.
        """
        if (ends := self._ends()) is not None:
            self._timer = self._loop.call_at(ends[0], self._check)

    def _check(self) -> None:
        """Fire if the deadline has passed; else schedule another check. Only the loop calls it."""
        self._timer = None
        ends = self._ends()
        if ends is None:
            return
        if ends[0] > self._loop.time():
            self._check_later()
        elif self._task is not None:
            self._doubt(_QUIET_TURNS, _MOST_TURNS, self._call.timing.bytes)

    def _doubt(self, quiet: int, left: int, received: int) -> None:
        """Let another turn of the loop pass before the timeout is believed."""
        self._timer = self._loop.call_soon(self._recheck, quiet, left, received)

    def _recheck(self, quiet: int, left: int, before: int) -> None:
        """Fire unless the deadline has moved; wait while bytes arrive, for a bounded time."""
        self._timer = None
        ends = self._ends()
        if ends is None or ends[0] > self._loop.time():
            self._check_later()
        elif self._task is not None:
            received = self._call.timing.bytes
            quiet = quiet - 1 if received == before else _QUIET_TURNS
            if quiet and left:
                self._doubt(quiet, left - 1, received)
                return
            self.fired = ends[1]
            self._task.cancel()


def _cancelling() -> int:
    """Return how many cancellations of the current task are pending."""
    if sys.version_info < (3, 11):
        return 0
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
