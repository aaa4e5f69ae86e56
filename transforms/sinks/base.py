"""What a sink must offer, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)


class SinkUnavailable(Exception):
    """The sink takes nothing at the moment, or cannot be reached; the message is one line."""


class SinkMissing(SinkUnavailable):
    """The sink answers, and is not there or not fit for what would come: waiting does not help."""


class Publisher(Protocol[Item_contra]):
    """A sink, as it lives on a worker. Used by one thread at a time."""

    def check(self) -> None:
        """Raise SinkUnavailable unless the sink is there."""

    def publish(self, lot: Sequence[Item_contra]) -> None:
        """Return once the sink has all of `lot`, each id's elements in their order.

        Raises SinkUnavailable when it is worth trying again: then all of `lot` comes again, also
        what the sink has already, under the same keys.
        """

    def close(self) -> None:
        """Let go of what is held."""


NewPublisher = Callable[[], Publisher[Any]]
