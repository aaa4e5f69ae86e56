"""The functions `completion` and `acompletion`, on clients that the whole process shares."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, overload

import ritellm
from ritellm.client import Client
from ritellm.client_async import AsyncClient
from ritellm.stream import Stream
from ritellm.stream_async import AsyncStream
from ritellm.types import Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams

_lock = threading.Lock()
_client: Client | None = None
_keepers: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, tuple[AsyncClient, AsyncGenerator[None, None]]
] = weakref.WeakKeyDictionary()


@overload
def completion(
    model: str, messages: Any, *, stream: Literal[True], **params: Unpack[CompletionParams]
) -> Stream: ...


@overload
def completion(
    model: str, messages: Any, *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
) -> Completion: ...


@overload
def completion(
    model: str, messages: Any, *, stream: bool, **params: Unpack[CompletionParams]
) -> Completion | Stream: ...


def completion(
    model: str, messages: Any, *, stream: bool = False, **params: Unpack[CompletionParams]
) -> Completion | Stream:
    """Return the whole completion, or an open stream of its chunks if `stream`.

    Connections are kept for the next call. Raises a RitellmError.

    Args:
        model: "provider/model", such as "openai/gpt-4o-mini".
        messages: the conversation, as a list of dicts with `role` and `content`.
        stream: whether to return an open stream of chunks instead of the whole completion.
        params: OpenAI's parameters and those of this library; `ritellm.calls.params` lists them.
    """
    settings: CompletionParams = {**_module_settings(), **params}
    return _shared_client().completion(model, messages, stream=stream, **settings)


@overload
async def acompletion(
    model: str, messages: Any, *, stream: Literal[True], **params: Unpack[CompletionParams]
) -> AsyncStream: ...


@overload
async def acompletion(
    model: str, messages: Any, *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
) -> Completion: ...


@overload
async def acompletion(
    model: str, messages: Any, *, stream: bool, **params: Unpack[CompletionParams]
) -> Completion | AsyncStream: ...


async def acompletion(
    model: str, messages: Any, *, stream: bool = False, **params: Unpack[CompletionParams]
) -> Completion | AsyncStream:
    """Return the whole completion, or an open stream of its chunks; see `completion`."""
    client = await _shared_async_client()
    settings: CompletionParams = {**_module_settings(), **params}
    return await client.completion(model, messages, stream=stream, **settings)


def batch_completion(
    model: str,
    messages: Sequence[Any],
    *,
    max_workers: int = 100,
    stream: bool = False,
    **params: Unpack[CompletionParams],
) -> list[Any]:
    """Return the completion of each list of messages, in order; a failed one is its error.

    Args:
        model: "provider/model".
        messages: one list of messages for each completion.
        max_workers: the most requests that are open at a time.
        stream: whether each result is an open stream.
        params: those of `completion`, for all of them.
    """

    def complete(each: Any) -> Any:
        try:
            return completion(model, each, stream=stream, **params)
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers) as threads:
        return list(threads.map(complete, messages))


def _module_settings() -> CompletionParams:
    """Return the defaults set on the module, such as `ritellm.drop_params = True`."""
    settings: CompletionParams = {}
    if ritellm.drop_params:
        settings["drop_params"] = True
    if ritellm.num_retries is not None:
        settings["num_retries"] = ritellm.num_retries
    if ritellm.request_timeout is not None:
        settings["timeout"] = ritellm.request_timeout
    return settings


def _shared_client() -> Client:
    global _client
    with _lock:
        if _client is None:
            _client = Client()
        return _client


@atexit.register
def _close_shared_client() -> None:
    """Close all sockets before the interpreter ends, which would warn about open ones."""
    if _client is not None:
        _client.close()


async def _shared_async_client() -> AsyncClient:
    """Return the client of this loop. It is closed when the loop's generators are shut down."""
    loop = asyncio.get_running_loop()
    if loop not in _keepers:
        client = AsyncClient()
        keeper = _keep(client)
        _keepers[loop] = client, keeper
        await keeper.__anext__()
    return _keepers[loop][0]


async def _keep(client: AsyncClient) -> AsyncGenerator[None, None]:
    """Keep `client` open until `asyncio.run` ends the generators of its loop."""
    try:
        yield
    finally:
        # The client refers to its loop, so the weak reference alone would never remove the entry.
        _keepers.pop(asyncio.get_running_loop(), None)
        await client.close()


def _forget_after_fork() -> None:
    """Drop the clients in a forked child, which must not share its parent's sockets."""
    global _client, _lock
    _client, _lock = None, threading.Lock()
    _keepers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
