"""What a source of prompts must offer to the streaming program, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from pipelines.inputs.rows import as_text, encoding_fault


class Message(NamedTuple):
    """One message: its bytes, an id that redelivery keeps, its location, and its receipt."""

    data: bytes
    id: str
    location: str
    receipt: Any = None

    @property
    def key(self) -> str:
        """Return "": messages have no order to sort by."""
        return ""

    @property
    def text(self) -> str:
        """The bytes as text, with escapes for bytes that are not UTF-8."""
        return as_text(self.data)

    @property
    def fault(self) -> str:
        """Why the message cannot be used: bytes that are not UTF-8."""
        return encoding_fault(self.data)


class SourceEnded(Exception):
    """The source has ended: no more messages will arrive."""


class SourceUnavailable(Exception):
    """The source cannot be reached or does not exist; the message is one line."""


class SourceMissing(SourceUnavailable):
    """The server of the source responds, but the topic or subscription does not exist."""


class Consumer(Protocol):
    """A connection to a source, in the process that reads it.

    The source delivers messages again that are not settled, at the latest to the next process.
    """

    def poll(self, seconds: float) -> Message | None:
        """Return the next message, or None if none arrives within `seconds`.

        Raises SourceEnded.
        """

    def keep(self) -> None:
        """Do the duties of a group member while the reader wants no messages; never waits."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Acknowledge these messages; called from any thread, never waits."""

    def close(self) -> None:
        """Send the pending acknowledgements and disconnect."""


class Source(Protocol):
    """The name of a source, pickled into the job; connects where it is called."""

    def check(self) -> None:
        """Raise SourceUnavailable unless the source exists and can be reached."""

    def __call__(self) -> Consumer:
        """Return a connection; raises SourceUnavailable."""
