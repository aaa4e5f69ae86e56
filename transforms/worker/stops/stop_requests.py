"""Ends the stream of a prompt in flight because a reader has asked for it. No Beam, no HTTP.

The problem: the request to stop arrives in a thread of its own, in each worker process. The stream
is read by a task of the event loop, which may wait for the provider for minutes.

The idea: each run has a `Halt`. It cancels the task, but only while the task waits for the
provider, and turns that into "nothing more". So no delta is lost halfway to the sink.

What holds:

- A halted run ends with what it has received: its outcome is a completion, and the journal has it.
- A request for an id that is not in flight here holds for `PENDING_SECONDS`: the prompt may be on
  its way. A run that begins meanwhile sends nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from ritellm.calls.stream_facts import StreamFacts
from ritellm.timing import Timing
from ritellm.types import Completion, Discarded
from transforms.worker.stops.stop_conditions import STOPPED

Value = TypeVar("Value")

# How long a request to stop waits for its prompt, and how many wait at most.
PENDING_SECONDS = 60.0
_MOST_PENDING = 10_000
# The choice of an answer that was left before its first chunk.
EMPTY_CHOICE: Mapping[str, Any] = {"index": 0, "message": {"role": "assistant", "content": ""}}


class Halt:
    """Ends the waits of the current task; made on its event loop."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a run is a task"
        self._loop, self._task = asyncio.get_running_loop(), task
        self._waits = False
        self.is_halted = False

    def halt_soon(self) -> None:
        """End the waits; any thread may call this."""
        try:
            self._loop.call_soon_threadsafe(self.halt)
        except RuntimeError:  # the loop is closed, and the run with it
            return

    def halt(self) -> None:
        """End the waits. Called on the loop."""
        if not self.is_halted:
            self.is_halted = True
            if self._waits:
                self._task.cancel()

    async def result(self, waiting: Coroutine[Any, Any, Value]) -> Value | None:
        """Return what `waiting` returns, None once the run is halted."""
        if self.is_halted:
            waiting.close()
            return None
        self._waits = True
        try:
            return await waiting
        except asyncio.CancelledError:
            if not self.is_halted or self._is_cancelled_too():
                raise
            return None
        finally:
            self._waits = False

    def _is_cancelled_too(self) -> bool:
        """Take back our cancellation; return whether there is another one."""
        uncancel = getattr(self._task, "uncancel", None)  # from Python 3.11 on
        return uncancel is not None and uncancel() > 0


class StopRequests:
    """The runs of a job in this process, and the requests to stop them. Usable from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._halts: dict[str, set[Halt]] = {}
        self._pending: OrderedDict[str, float] = OrderedDict()  # until when

    def enter(self, id: str) -> Halt:
        """Return the halt of a run that begins, which may be halted already."""
        halt = Halt()
        with self._lock:
            self._halts.setdefault(id, set()).add(halt)
            until = self._pending.pop(id, 0.0)
        if until > self._clock():
            halt.halt()
        return halt

    def leave(self, id: str, halt: Halt) -> None:
        """Forget a run that has ended."""
        with self._lock:
            halts = self._halts.get(id, set())
            halts.discard(halt)
            if not halts:
                self._halts.pop(id, None)

    def stop(self, id: str) -> None:
        """Halt the runs of `id`; without one, the next that begins soon."""
        with self._lock:
            halts = list(self._halts.get(id, ()))
            if not halts:
                self._pending[id] = self._clock() + PENDING_SECONDS
                if len(self._pending) > _MOST_PENDING:
                    self._pending.popitem(last=False)
        for halt in halts:
            halt.halt_soon()


class NewStops(Protocol):
    """Makes the requests of a job in a worker process; it is pickled into the job."""

    def __call__(self) -> StopRequests:
        """Return the requests, which arrive from now on; the same ones while they are in use."""


class Unsent(StreamFacts):
    """What is known of a prompt to `model` that was stopped before a request was sent for it."""

    attempt = 1
    attempts = length = 0
    usage = service_tier = None
    model = answer_mode = ""
    timing = Timing(0.0)
    discarded: ClassVar[list[Discarded]] = []

    def __init__(self, model: str) -> None:
        self.model = model

    @property
    def completion(self) -> Completion:
        """An empty completion, which has cost nothing."""
        counts = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return Completion(
            id=None,
            object="chat.completion",
            created=None,
            model=self.model,
            choices=[{**EMPTY_CHOICE, "finish_reason": STOPPED}],
            usage=counts,
            usage_source="estimated",
        )
