"""A live sink: elements go out while the bundle goes on, in the same stage as what makes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from transforms.elements import Delta
from transforms.sinks.base import NewPublisher
from transforms.sinks.queue import Outgoing, Terms


class Publish(beam.PTransform):  # type: ignore[misc]
    """Publish elements and hand them on. Fused with what makes them, it publishes them live.

    A sink gets each element at least once, under the same key each time, those of one id in their
    order. While it is slower than the elements come, they wait, and so does what makes them. A
    bundle ends when all of its elements are out, and fails if the sink cannot be had.

    Args:
        publisher: makes the sink on the worker; it is pickled into the job.
        flush_msec: the least time between two lots; after a pause an element goes out at once.
        most_waiting: the most elements of one process that wait for the sink.
        give_up_after: seconds of an unavailable sink after which the bundle fails.
        on_published: called on the worker with the elements of each lot that the sink has.
        on_given_up: called on the worker with the error when a sink is given up, for a source that
            waits for its outcomes: a bundle sees it with its next element or its end only.
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
        terms = Terms(flush_msec, most_waiting, give_up_after=give_up_after)
        self._new_outgoing = functools.partial(
            Outgoing, publisher, terms, on_published, on_given_up
        )

    def expand(self, elements: Any) -> Any:
        """Publish in passing."""
        fn = _PublishFn(self._new_outgoing)
        element = self.element or elements.element_type
        return elements | "Publish" >> beam.ParDo(fn).with_output_types(element)


class PublishDeltas(Publish):
    """`Delta -> Delta`: `Publish` for what `StreamCompletions` brings.

    The key of a delta is `(id, attempt, seq)`: a reader that has seen it may forget it when it
    comes again. Deltas of one id come in their order; a later attempt takes the place of an
    earlier one.
    """

    element = Delta


class _PublishFn(beam.DoFn):  # type: ignore[misc]
    """Puts elements into the process's queue, and fails when they cannot get out."""

    def __init__(self, new_outgoing: Callable[[], Outgoing[Any]]) -> None:
        self._new_outgoing = new_outgoing
        self._shared = Shared()
        self._since = 0

    def setup(self) -> None:
        """Join the queue of this process, or start it."""
        self._outgoing: Outgoing[Any] = self._shared.acquire(self._new_outgoing)

    def start_bundle(self) -> None:
        """Earlier failures are not this bundle's."""
        self._since = self._outgoing.failures

    def process(self, element: Any) -> tuple[Any]:
        """Put `element`; raises what the sink was given up for."""
        self._outgoing.put(element)
        self._check()
        return (element,)

    def finish_bundle(self) -> None:
        """Return when all is out."""
        self._outgoing.flush()
        self._check()

    def _check(self) -> None:
        if self._outgoing.failures != self._since:
            raise self._outgoing.error or RuntimeError("the sink was given up")
