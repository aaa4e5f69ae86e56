"""What a process has of one transform: the event loop, and the logs of its streams."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterable
from typing import Any

from ritellm.chunks.submission import order_of
from transforms.committed.log import ProcessLogs, Submission
from transforms.elements import Outcome
from transforms.worker.completer import Completer
from transforms.worker.event_loop import EventLoop, Put
from transforms.worker.factories import NewResources
from transforms.worker.requests import PromptRequest
from transforms.worker.resources import Resources
from transforms.worker.submissions import new_submission


class ProcessStreams:
    """What a process has of one transform: the event loop, and the logs of its streams."""

    def __init__(self, completer: Completer, new_resources: NewResources) -> None:
        self.event_loop: EventLoop[Resources] = EventLoop(new_resources)
        self._completer = completer.here(os.environ)
        self.logs = ProcessLogs(self.event_loop, self._submit)

    def _submit(self, windowed: Any, newer_than: str) -> Submission:
        """Name a submission of a prompt, newer than `newer_than` and than those in the journal."""
        completer, resources = self._completer, self.event_loop.resources
        request = completer.request(resources, windowed.value)
        last = max(order_of(newer_than), resources.journal.last_order(request))
        name = new_submission(request.digest, last)
        return Submission(name, functools.partial(self._send, request, name))

    async def _send(
        self, request: PromptRequest, name: str, put: Put[Outcome]
    ) -> Iterable[Outcome]:
        if replayed := await self._replayed(request):
            return replayed
        return await self._completer(self.event_loop.resources, request, put, name)

    async def _replayed(self, request: PromptRequest) -> list[Outcome]:
        """Return the outcomes that the journal has for `request`."""
        if request.key is None:
            return []
        completer, resources = self._completer, self.event_loop.resources
        # A look into the journal may block.
        return await asyncio.to_thread(lambda: list(completer.replay(resources, request)))
