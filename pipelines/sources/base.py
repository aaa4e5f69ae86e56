"""What a source must offer, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Message(NamedTuple):
    """One message: its bytes, a name that it keeps when it is delivered again, and its receipt."""

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
        """The bytes as text."""
        return self.data.decode("utf-8", "replace")


class FeedEnded(Exception):
    """No message will come any more."""


class FeedUnavailable(Exception):
    """The source cannot be reached or does not exist; the message is one line."""


class FeedMissing(FeedUnavailable):
    """The source answers, and what is named is not there."""


class Feed(Protocol):
    """A source, as it lives in the process that reads it.

    What is not settled comes again, after this process if not before.
    """

    def poll(self, seconds: float) -> Message | None:
        """Return the next message, or None if none comes within `seconds`.

        Raises FeedEnded.
        """

    def keep(self) -> None:
        """Do what the source wants of a reader that wants nothing now; never waits."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Note that these messages are done; called from any thread, never waits."""

    def close(self) -> None:
        """Tell the source what is settled, and let go."""


class NewFeed(Protocol):
    """Makes a feed where it is called; pickled into the job."""

    def check(self) -> None:
        """Raise FeedUnavailable unless the source is there."""

    def __call__(self) -> Feed:
        """Return the feed; raises FeedUnavailable."""
