"""The synchronous client: `Client`, which opens streams."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ritellm.calls.asking import Asking
from ritellm.calls.call import Call
from ritellm.calls.plan import Draft, Plan
from ritellm.calls.prepare import draft
from ritellm.checked_streams import CheckedStream
from ritellm.stream import Stream
from ritellm.transports.base import Transport, new_transport
from ritellm.types import Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams


class Client:
    """Requests completions; keeps its connections for the next call. Threads may share it.

    `defaults` are parameters of `completion` that hold for every call, such as `api_key`,
    `base_url` or `timeout`. `transport` replaces the network, for tests.
    """

    def __init__(
        self, *, transport: httpx.BaseTransport | None = None, **defaults: Unpack[CompletionParams]
    ) -> None:
        self._defaults = defaults
        self._transport = transport
        self._opened = [(os.getpid(), new_transport(transport))]

    @overload
    def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> Stream: ...

    @overload
    def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...

    @overload
    def completion(
        self, model: str, messages: Any, *, stream: bool, **params: Unpack[CompletionParams]
    ) -> Completion | Stream: ...

    def completion(
        self, model: str, messages: Any, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Completion | Stream:
        """Return the whole completion, or an open stream of its chunks if `stream`.

        `model` is "provider/model"; `ritellm.calls.params` lists the parameters, OpenAI's among
        them. Raises a RitellmError.
        """
        draft = self.draft(model, stream=stream, **params)
        if draft.blank.wanted is not None:
            checked = self._checked(model, messages, params)
            return checked if stream else checked.read()
        plan = draft.plan(messages)
        return self.open(plan) if plan.request.stream else self.complete(plan)

    def _checked(self, model: str, messages: Any, params: CompletionParams) -> Stream:
        """Return the stream of an answer that is checked, and asked for again if it is not valid.

        It is read as it arrives, also for a whole completion: a wrong answer is left early.
        """
        draft = self.draft(model, stream=True, **params)
        return CheckedStream(self._http, Asking(draft, messages))

    def draft(
        self, model: str, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Draft:
        """Return what many completions have in common: `draft.plan(messages)` makes one of them.

        `open` and `complete` take such a plan. The parameters are those of `completion`. Raises
        InvalidRequestError.
        """
        merged: CompletionParams = {**self._defaults, **params}
        return draft(model, os.environ, stream=stream, **merged)

    def complete(self, plan: Plan) -> Completion:
        """Return the whole completion for `plan`."""
        return self.open(plan, emit_chunks=False).read()

    def open(self, plan: Plan, *, emit_chunks: bool = True) -> Stream:
        """Return the stream for `plan` once the provider has accepted the request.

        Without `emit_chunks` the stream makes no chunks: only the whole completion and the facts
        about the stream are of use.
        """
        return Stream(self._http, Call(plan, time.monotonic(), emit_chunks=emit_chunks))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @property
    def _http(self) -> Transport:
        """The transport of this process. A forked child gets one of its own.

        The child keeps its parent's transport, unused, because it must not close those connections.
        """
        pid, transport = self._opened[-1]
        if pid != os.getpid():
            transport = new_transport(self._transport)
            self._opened.append((os.getpid(), transport))
        return transport

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
