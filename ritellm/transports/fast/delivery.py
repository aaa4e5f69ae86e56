"""Hands the bytes of a response to the task that waits for them: extra `fast`.

Problem: waking a task costs more than parsing a chunk, and chunks arrive one by one.

Idea: the connection calls `deliver` once per read, so a read wakes the task at most once. A task
that needs only the end of the body passes a sink to `pour`. `deliver` calls the sink with the
pieces of each read and wakes the task at the end.

    not waiting --arrival()--> waiting --a piece, the end, an error--> not waiting
    not waiting --pour()-----> pouring --the end, an error, the sink returns True--> not waiting

Invariants:
- At most one task waits (`_waiter`), and only while there is nothing to take.
- `sink` is set only while `_waiter` is: that task waits for the end of the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ritellm.transports.fast.http11 import ResponseParser


class Delivery:
    """What has arrived of the current response, and the task that waits for more."""

    def __init__(
        self,
        parser: ResponseParser,
        loop: asyncio.AbstractEventLoop,
        resume: Callable[[], object],
    ) -> None:
        self._parser = parser
        self._loop = loop
        # The reader.
        self._waiter: asyncio.Future[bytes] | None = None
        self.sink: Callable[[bytes], bool] | None = None  # takes the pieces until the end
        self.opening = False  # the reader waits for the headers
        self.error: Exception | None = None  # why no more will arrive
        # Back pressure.
        self.untaken = 0  # bytes that have arrived since the last `take`
        self.is_full = False  # the connection reads nothing until the reader has caught up
        self._resume = resume  # called when `is_full` and the reader waits for more

    def expect(self) -> None:
        """Prepare for the next response; its reader waits for the headers first."""
        self.untaken = 0
        self.opening = True

    @property
    def exhausted(self) -> bool:
        """Whether the response has been read to its end."""
        return self._parser.ended and not self._parser.pieces

    def take(self) -> bytes:
        """Return what has arrived of the body, or nothing."""
        parser = self._parser
        if not parser.pieces:
            return b""
        self.untaken = 0
        return parser.take()

    def arrival(self) -> asyncio.Future[bytes]:
        """Return the next bytes of the body once they arrive; nothing at its end.

        Call it when there is nothing to take. Raises the error that broke the connection.
        """
        waiter: asyncio.Future[bytes] = asyncio.Future(loop=self._loop)
        if self.error is not None:
            waiter.set_exception(self.error)
        elif self._parser.ended:
            waiter.set_result(b"")
        else:
            self._waiter = waiter
            if self.is_full:
                self._resume()
        return waiter

    def pour(self, sink: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Pass the body to `sink` as it arrives; done at its end, or once `sink` returns True.

        Call it when there is nothing to take. The task wakes once, when it is done.
        """
        poured = self.arrival()
        if not poured.done():
            self.sink = sink
        return poured

    def deliver(self) -> None:
        """Wake the reader, or call its sink, if what it waits for has arrived."""
        waiter, parser = self._waiter, self._parser
        if waiter is None:
            return
        if waiter.done():  # cancelled
            self._waiter = self.sink = None
        elif self.sink is not None:
            self._pour(waiter, self.sink)
        elif self.opening and parser.begun:
            self._waiter, self.opening = None, False
            waiter.set_result(b"")
        elif parser.pieces or parser.ended:
            self._waiter = None
            self.untaken = 0
            waiter.set_result(parser.take())
        elif self.error is not None:
            self._waiter = None
            waiter.set_exception(self.error)

    def _pour(self, waiter: asyncio.Future[bytes], sink: Callable[[bytes], bool]) -> None:
        parser, is_enough = self._parser, False
        try:
            if parser.pieces:
                self.untaken = 0
                is_enough = sink(parser.take())
            if is_enough or parser.ended:
                waiter.set_result(b"")
            elif self.error is not None:
                waiter.set_exception(self.error)
            elif self.is_full:
                self._resume()
        except Exception as error:  # raised by the sink; the reader gets it
            waiter.set_exception(error)
        if waiter.done():
            self._waiter = self.sink = None
