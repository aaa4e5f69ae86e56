"""Ends the wait for a stream when its patience is over: one timer per stream, none per chunk."""

from __future__ import annotations

import asyncio
import sys

from ritellm.calls.call import Call


class Watchdog:
    """Cancels the task that waits for `call` once `call.deadline` has passed.

    Only a `task` that waits is cancelled: who is back from waiting sets it to None.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drain_ends: float | None = None
        self._begun = False
        self._cancelling = _cancelling()
        self.fired: str | None = None

    def watch(self) -> None:
        """Watch over the wait that the current task begins."""
        self.task = asyncio.current_task()
        if self._timer is None:
            self._look_later()
        self.heed_progress()

    def heed_progress(self) -> None:
        """Have the deadline be that between chunks, once there was a first."""
        if not self._begun and self._call.timing.last_chunk is not None:
            # The one moment at which a deadline may move forward: after a first chunk that may
            # take minutes, the next may have to come in seconds.
            self._begun = True
            if self._timer is not None:
                self._timer.cancel()
            self._look_later()

    def stop(self) -> None:
        """Never look again."""
        self.task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drain(self, seconds: float) -> None:
        """From now on wait for the end of the body only, and no longer than `seconds`."""
        self._drain_ends = self._loop.time() + seconds
        self.stop()
        self.watch()

    def uncancel(self) -> bool:
        """Take back the cancellation that `fired` stands for; return whether there is another."""
        task = asyncio.current_task()
        if sys.version_info >= (3, 11) and task is not None:
            return task.uncancel() > self._cancelling
        return False

    def _ends(self) -> tuple[float, str] | None:
        if self._drain_ends is not None:
            return self._drain_ends, "drain"
        return self._call.deadline

    def _look_later(self) -> None:
        """Have the loop look when it is time, even if that is now.

        Here the task runs: cancelled now, it would die of it wherever it waits next.
        """
        if (ends := self._ends()) is not None:
            self._timer = self._loop.call_at(ends[0], self._check)

    def _check(self) -> None:
        """Fire if it is time; else look again when it may be. Called by the loop only."""
        self._timer = None
        ends = self._ends()
        if ends is None:
            return
        when, name = ends
        if when > self._loop.time():
            self._look_later()
        elif self.task is not None:
            self.fired = name
            self.task.cancel()


def _cancelling() -> int:
    """Return how many cancellations the current task has been asked for and not taken back."""
    if sys.version_info < (3, 11):
        return 0
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
