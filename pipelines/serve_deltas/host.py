"""What a response needs of its server, and how it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pipelines.serve_deltas.following import Message, Readers
from pipelines.serve_deltas.hub import Channel, Hub


class Host(Protocol):
    """The server of a response."""

    hub: Hub
    readers: Readers
    poll_seconds: float
    headers: Mapping[str, str]  # those of every response

    def admit(self, channel: Channel) -> None:
        """Raise Refused if there are too many readers."""

    async def wait_for(self, channel: Channel) -> None:
        """Return when the answer has begun. Raises Refused after the time for it."""


def begun(host: Host, media_type: str, headers: Mapping[str, str]) -> Message:
    """Return the message that begins a response with status 200; `headers` override the host's."""
    every = {"Content-Type": media_type, **host.headers, **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    return {"type": "http.response.start", "status": 200, "headers": raw}
