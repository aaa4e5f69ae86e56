"""What a process has of one transform of a job: a lease on the engine, and the logs of its streams.

The streams outlive a DoFn, which Beam ends when a bundle fails: the next DoFn goes on with them.
They keep the lease until they are dropped, `ProcessLogs` says when.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from ritellm.chunks.submission import order_of
from transforms.committed.log import ProcessLogs, Submission
from transforms.elements import Outcome
from transforms.worker.completer import Completer
from transforms.worker.engine import join
from transforms.worker.factories import NewResources
from transforms.worker.loop.event_loop import Put
from transforms.worker.requests import PromptRequest
from transforms.worker.resources import Resources
from transforms.worker.submissions import new_submission


class ProcessStreams(ProcessLogs):
    """The logs of one transform of `job` in this process, whose prompts the engine sends."""

    def __init__(self, completer: Completer, new: NewResources, job: str) -> None:
        completer = completer.here(os.environ)
        self.lease = join(new, completer, job)
        self._sender = _Sender(completer, self.lease.resources)
        super().__init__(self.lease, self._sender.submit)

    @property
    def resources(self) -> Resources:
        """What the prompts of the transform share."""
        return self.lease.resources


_found: WeakValueDictionary[tuple[int, str, str], ProcessStreams] = WeakValueDictionary()
_finding = threading.Lock()


def find_streams(
    transform: str, completer: Completer, new: NewResources, job: str
) -> ProcessStreams:
    """Return the streams of `transform` in this process, the same for all its DoFns in `job`."""
    key = os.getpid(), transform, job
    with _finding:
        streams = _found.get(key)
        if streams is None:
            streams = _found[key] = ProcessStreams(completer, new, job)
        return streams


class _Sender:
    """Names the submissions of prompts, and sends them."""

    def __init__(self, completer: Completer, resources: Resources) -> None:
        self._completer, self._resources = completer, resources

    def submit(self, windowed: Any, newer_than: str) -> Submission:
        """Name a submission of a prompt, newer than `newer_than` and than those in the journal."""
        request = self._completer.request(self._resources, windowed.value)
        last = max(order_of(newer_than), self._resources.journal.last_order(request))
        name = new_submission(request.digest, last)
        return Submission(name, functools.partial(self._send, request, name))

    async def _send(
        self, request: PromptRequest, name: str, put: Put[Outcome]
    ) -> Iterable[Outcome]:
        if replayed := await self._replayed(request):
            return replayed
        return await self._completer(self._resources, request, put, name)

    async def _replayed(self, request: PromptRequest) -> list[Outcome]:
        """Return the outcomes that the journal has for `request`."""
        if request.key is None:
            return []
        completer, resources = self._completer, self._resources
        # A look into the journal may block.
        return await asyncio.to_thread(lambda: list(completer.replay(resources, request)))
