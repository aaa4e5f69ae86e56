"""Keeps what httpx logs of each request out of the logs of workers.

httpx logs a line at INFO for each request, and a Beam worker sends INFO to the runner: thousands of
lines a second. Only the records of our own event loop are dropped, and only while the logger
`httpx` has no level of its own, so a user who wants the lines sets one.
"""

from __future__ import annotations

import logging

_httpx = logging.getLogger("httpx")


def quiet_httpx(thread: str) -> None:
    """Drop the records below WARNING that httpx logs on the thread with this name."""
    if not any(isinstance(each, _OnThread) and each.thread == thread for each in _httpx.filters):
        _httpx.addFilter(_OnThread(thread))


class _OnThread(logging.Filter):
    def __init__(self, thread: str) -> None:
        super().__init__()
        self.thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is logged."""
        ours = record.threadName == self.thread and record.levelno < logging.WARNING
        return not ours or _httpx.level != logging.NOTSET
