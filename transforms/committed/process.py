"""What a process has of one transform: the event loop, and the logs of its streams."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from transforms.committed.log import ProcessLogs
from transforms.elements import Outcome
from transforms.worker.completer import Completer
from transforms.worker.event_loop import EventLoop, Put
from transforms.worker.factories import NewResources
from transforms.worker.requests import PromptRequest
from transforms.worker.resources import Resources


class ProcessStreams:
    """What a process has of one transform: the event loop, and the logs of its streams."""

    def __init__(self, completer: Completer, new_resources: NewResources) -> None:
        self.event_loop: EventLoop[Resources] = EventLoop(new_resources)
        self._completer = completer.here(os.environ)
        self.logs = ProcessLogs(self.event_loop, self._complete)

    async def _complete(
        self, windowed: Any, submission: int, name: str, put: Put[Outcome]
    ) -> Iterable[Outcome]:
        completer, resources = self._completer, self.event_loop.resources
        request = completer.request(resources, windowed.value)
        prior_runs = submission - 1
        if request.key is not None:  # there is a journal, and a look into it may block
            if replayed := await asyncio.to_thread(_replay, completer, resources, request):
                return replayed
            noted = await asyncio.to_thread(completer.prior_runs, resources, request)
            prior_runs = max(prior_runs, noted)
        # Each submission numbers its attempts after those of the submissions before it.
        return await completer(resources, request, put, prior_runs)


def _replay(completer: Completer, resources: Resources, request: PromptRequest) -> list[Outcome]:
    return list(completer.replay(resources, request))
