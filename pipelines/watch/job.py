"""The live page of a job that runs in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.pages.options import PageOptions
from pipelines.watch import address, tap
from pipelines.watch.feed import Feed
from pipelines.watch.numbers import Numbers
from pipelines.watch.server import Server
from pipelines.watch.streams import Streams


@contextmanager
def watched(
    port: int | None,
    folder: str,
    options: PageOptions,
    facts: Mapping[str, Any],
    total: int | None,
) -> Iterator[None]:
    """Serve the page of the job that the block runs; do nothing without a `port`.

    `total` is the number of rows, None if it is not known. Raises UsageError if the port is taken.
    """
    if port is None:
        yield
        return
    numbers = Numbers(options, facts)
    streams = None if options.text == "none" else Streams()

    def state() -> dict[str, Any]:
        running = not feed.ended
        missed = f"{numbers.missed:,} rows, which came too fast" if numbers.missed else None
        return {"running": running, "live": True, "total": total, "missing": missed}

    feed = Feed(numbers, streams, state)
    server = Server(feed, port)
    tap.begin(numbers)
    try:
        with server, feed, address.written(folder, server.url):
            print(f"watch the job at {server.url}", file=sys.stderr, flush=True)
            yield
    finally:
        tap.end(numbers)
