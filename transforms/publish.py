"""Publishes elements to a sink while the bundle runs, in the stage that makes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from transforms.elements import Delta
from transforms.graph.element_types import HOW_TO_GET_DELTAS, check_input
from transforms.sinks.base import NewPublisher
from transforms.sinks.queue import PublishOptions, PublishQueue


class Publish(beam.PTransform):  # type: ignore[misc]
    """Publish elements, and yield them: live, if fused with the transform that makes them.

    A sink gets each element at least once, under the same key each time, and the elements of one id
    in their order. A slow sink blocks the transform that makes the elements. A bundle ends once all
    of its elements are published, and fails if the sink is unavailable for too long.

    Args:
        publisher: makes the sink on the worker; it is pickled into the job.
        flush_msec: the least time between two batches of elements; after a pause of this length an
            element is published at once.
        most_waiting: the most elements of one process in the queue to the sink.
        give_up_after: seconds of an unavailable sink after which the bundle fails.
        on_published: called on the worker with the elements of each batch that the sink has.
        on_given_up: called on the worker with the error when a sink is given up. A bundle gets the
            error only with its next element or at its end; a source may need it sooner.
    """

    element: Any = None

    def __init__(
        self,
        publisher: NewPublisher,
        *,
        flush_msec: float = 10.0,
        most_waiting: int = 10_000,
        give_up_after: float = 60.0,
        on_published: Callable[[Sequence[Any]], None] | None = None,
        on_given_up: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__()
        options = PublishOptions(flush_msec, most_waiting, give_up_after=give_up_after)
        self._new_queue = functools.partial(
            PublishQueue, publisher, options, on_published, on_given_up
        )

    def expand(self, elements: Any) -> Any:
        """Publish each element, and yield it."""
        element = self.element or elements.element_type
        if self.element is not None:
            check_input(elements, element, type(self).__name__, HOW_TO_GET_DELTAS)
        fn = _PublishFn(self._new_queue)
        return elements | "Publish" >> beam.ParDo(fn).with_output_types(element)


class PublishDeltas(Publish):
    """`Delta -> Delta`: `Publish` for the deltas of `StreamCompletions`.

    The key of a delta is `(id, submission, attempt, seq)`: a reader can drop a delta that it has
    seen. Deltas of one id arrive in their order; a newer submission or attempt replaces an older.
    """

    element = Delta


class _PublishFn(beam.DoFn):  # type: ignore[misc]
    """Puts elements into the queue of the process; fails when the sink is given up."""

    def __init__(self, new_queue: Callable[[], PublishQueue[Any]]) -> None:
        self._new_queue = new_queue
        self._shared = Shared()
        self._since = 0

    def setup(self) -> None:
        """Join the queue of this process, or start it."""
        self._queue: PublishQueue[Any] = self._shared.acquire(self._new_queue)

    def start_bundle(self) -> None:
        """Note the failures so far: they belong to earlier bundles."""
        self._since = self._queue.failures

    def process(self, element: Any) -> tuple[Any]:
        """Put `element`; raise the error if the sink was given up."""
        self._queue.put(element)
        self._check()
        return (element,)

    def finish_bundle(self) -> None:
        """Return once all elements are published."""
        self._queue.flush()
        self._check()

    def _check(self) -> None:
        if self._queue.failures != self._since:
            raise self._queue.error or RuntimeError("the sink was given up")
