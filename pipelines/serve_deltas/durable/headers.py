"""The headers of a page, and cursors. Pure."""

from __future__ import annotations

import random

from pipelines.serve_deltas.durable.page import Page

# Cursors count intervals of 20 seconds since an epoch: 9 October 2024 (section 10.1).
_INTERVAL, _EPOCH = 20, 1_728_432_000
_MOST_JITTER = 3_600 // _INTERVAL


def page_headers(page: Page) -> dict[str, str]:
    """Return where the reader goes on. A page always reaches to the end of the stream."""
    headers = {"Stream-Next-Offset": str(page.end), "Stream-Up-To-Date": "true"}
    if page.is_closed:
        headers["Stream-Closed"] = "true"
    return headers


def next_cursor(cursor: int | None, now: float) -> str:
    """Return a cursor that is greater than that of the reader, so that no cache serves a loop."""
    current = int(now - _EPOCH) // _INTERVAL
    if cursor is None or cursor < current:
        return str(current)
    return str(cursor + random.randint(1, _MOST_JITTER))
