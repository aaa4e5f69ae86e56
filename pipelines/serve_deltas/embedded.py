"""Serves the answers of the job that runs in this process: `--serve` of stream_complete.

The steps of the job are pickled, so they hold no reference to the store. They find it here.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pipelines.errors import UsageError
from pipelines.serve_deltas.stores.process import ProcessStore
from transforms.sinks.base import NewPublisher, Publisher
from transforms.worker.stops.stop_requests import NewStops, StopRequests

if TYPE_CHECKING:
    from pipelines.inputs.row_form import RowForm
    from pipelines.serve_deltas.prompts.endpoint import Prompts

_EXTRA = "--serve needs its extra: pip install 'ritellm-beam[serve]'"
_HOST = "127.0.0.1"
# The most prompts of one client of the page.
_PER_MINUTE = 60

_stores: list[ProcessStore] = []


@cache
def _requests() -> StopRequests:
    return StopRequests()


@dataclass(frozen=True)
class ProcessStops:
    """Makes the requests to stop of this process."""

    def __call__(self) -> StopRequests:
        """Return the requests."""
        return _requests()


@dataclass(frozen=True)
class Served:
    """Makes a sink that hands what it has published to the stores of this process, too."""

    new_publisher: NewPublisher

    def __call__(self) -> Publisher[Any]:
        """Return the publisher."""
        return _Served(self.new_publisher())


class _Served:
    def __init__(self, publisher: Publisher[Any]) -> None:
        self._publisher = publisher
        self.check, self.close = publisher.check, publisher.close

    def publish(self, batch: Sequence[Any]) -> None:
        self._publisher.publish(batch)
        for store in list(_stores):
            store.publish(batch)


@contextmanager
def served(port: int | None, stops: NewStops | None, rows: RowForm | None = None) -> Iterator[None]:
    """Serve the answers of the job that the block runs; do nothing without a `port`.

    `stops` makes the requests to stop of the job, None for one that is not stopped. With `rows` it
    takes prompts, too, in this form. Raises UsageError if the port is taken or the extra is
    missing.
    """
    if port is None:
        yield
        return
    try:
        from pipelines.serve_deltas import server
        from pipelines.serve_deltas.access import Access
        from pipelines.serve_deltas.app import Bounds, Door
    except ImportError as error:
        raise UsageError(f"{_EXTRA} ({error})") from None
    store = ProcessStore(stops().stop if stops is not None else lambda id: None)
    listener = server.listen(_HOST, port, flag="--serve")
    url = f"http://{_HOST}:{listener.getsockname()[1]}/"
    running: list[server.Server] = []
    began = threading.Event()

    async def serve() -> None:
        prompts = None if rows is None else _prompts(store, rows)
        running.append(server.Server(Door(store, Access(), Bounds(), prompts), listener))
        await running[0].serve_until_stopped(began.set)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="serve", daemon=True)
    _stores.append(store)
    try:
        with listener:
            thread.start()
            began.wait(10)
            print(f"read the answers at {url}", file=sys.stderr, flush=True)
            yield
            # On the way out, readers get what they lack before the server ends.
            running[0].stop()
            thread.join(10)
    finally:
        _stores.remove(store)
        for one in running:
            one.stop()


def _prompts(store: ProcessStore, rows: RowForm) -> Prompts:
    """Return what takes prompts for the job of this process."""
    from pipelines.serve_deltas.access import Access
    from pipelines.serve_deltas.prompts.claims.process import ProcessClaims
    from pipelines.serve_deltas.prompts.endpoint import Prompts
    from pipelines.serve_deltas.prompts.intake import asked
    from pipelines.serve_deltas.prompts.queues.process import ProcessQueue
    from pipelines.sources.inbox import inbox

    return Prompts(
        ProcessQueue(inbox()),
        ProcessClaims(store.has),
        partial(asked, rows=rows),
        Access(),
        per_minute=_PER_MINUTE,
        valid_seconds=0,  # without a secret there are no tokens
    )
