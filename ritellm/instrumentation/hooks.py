"""Functions of a program that are called at the end of each call.

The problem: a program wants to count tokens or to keep what was said, for calls that a library
makes for it, and without a tracing system.

The idea: functions for the whole process, as litellm has them, but with one value as their
argument. A hook runs where the call ends: on the thread of the caller, or on the event loop. What
it raises is logged, and never fails the call.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ritellm.calls.call import Call
from ritellm.timing import Timing
from ritellm.types import Completion

log = logging.getLogger("ritellm")


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call of `completion` has ended; `on_end` hands it to a function.

    Args:
        model: the "provider/model" of the call.
        completion: what has arrived, all of it if `whole`. `completion.usage` has the tokens, and
            `ritellm.completion_cost(completion)` the cost.
        whole: whether the completion is complete.
        error: what the call has raised; None for a whole completion, and for a stream that the
            caller has left early.
        attempts: how many requests were sent.
        timing: what `stream.timing` is: `ttft`, `inter_chunk`, `total`, `bytes`, `retries`.
        metadata: the `metadata` of the call.
        messages: the messages of the call. Not in `repr`, as little as the completion.
        stream: whether the caller asked for a stream.
    """

    model: str
    completion: Completion = field(repr=False)
    whole: bool
    error: BaseException | None
    attempts: int
    timing: Timing
    metadata: Mapping[str, Any]
    messages: Any = field(repr=False)
    stream: bool


Hook = Callable[[CallEnd], object]
_hooks: tuple[Hook, ...] = ()


def on_end(hook: Hook) -> Callable[[], None]:
    """Call `hook` with a `CallEnd` after each call of this process, retries and all.

    Returns a function that ends this. Raises TypeError for what is not a plain function: a
    coroutine would have no loop to run on; start a task in a plain function.
    """
    global _hooks
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        raise TypeError("the hook must be a plain function of one argument, a CallEnd")
    _hooks = (*_hooks, hook)

    def remove() -> None:
        global _hooks
        _hooks = tuple(each for each in _hooks if each is not hook)

    return remove


def are_set() -> bool:
    """Return whether there is any hook."""
    return bool(_hooks)


def ended(call: Call, error: BaseException | None) -> None:
    """Call the hooks at the end of `call`; a GeneratorExit is a stream that was left early."""
    hooks = _hooks
    if not hooks:
        return
    end = _end_of(call, error)
    for hook in hooks:
        try:
            hook(end)
        except Exception:
            log.warning("a hook of ritellm.on_end failed", exc_info=True)


def _end_of(call: Call, error: BaseException | None) -> CallEnd:
    request, endpoint = call.plan.request, call.plan.endpoint
    model = f"{endpoint.provider.name}/{request.model}"
    left = isinstance(error, GeneratorExit)
    completion = Completion() if call.exchange is None else Completion(call.completion())
    completion._origin = model
    return CallEnd(
        model,
        completion,
        error is None,
        None if left else error,
        call.attempts,
        call.timing,
        request.metadata,
        request.messages,
        request.stream,
    )
