"""The interface of a sink, and the errors that it raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)


class SinkUnavailable(Exception):
    """The sink cannot be reached or accepts nothing at the moment; the message is one line."""


class SinkMissing(SinkUnavailable):
    """The sink's topic or table does not exist or does not fit: waiting does not help."""


class Publisher(Protocol[Item_contra]):
    """A sink on a worker. Used by one thread at a time."""

    def check(self) -> None:
        """Raise SinkUnavailable unless the sink is usable."""

    def publish(self, batch: Sequence[Item_contra]) -> None:
        """Return once the sink has all of `batch`, the elements of each id in their order.

        Raises SinkUnavailable if a retry may help. The retry publishes all of `batch` under the
        same keys, including elements that the sink has already.
        """

    def close(self) -> None:
        """Release connections and other resources."""


NewPublisher = Callable[[], Publisher[Any]]
