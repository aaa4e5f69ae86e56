"""`completion` and `acompletion`: the clients that everybody shares, and one call each."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, overload

import ritellm
from ritellm.client import Client, Stream
from ritellm.client_async import AsyncClient, AsyncStream
from ritellm.types import Completion

_lock = threading.Lock()
_client: Client | None = None
_keepers: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, tuple[AsyncClient, AsyncGenerator[None, None]]
] = weakref.WeakKeyDictionary()


@overload
def completion(model: str, messages: Any, *, stream: Literal[True], **arguments: Any) -> Stream: ...


@overload
def completion(
    model: str, messages: Any, *, stream: Literal[False] = False, **arguments: Any
) -> Completion: ...


@overload
def completion(
    model: str, messages: Any, *, stream: bool, **arguments: Any
) -> Completion | Stream: ...


def completion(
    model: str, messages: Any, *, stream: bool = False, **arguments: Any
) -> Completion | Stream:
    """Return the whole answer, or an open stream of its chunks if `stream`.

    `model` is "provider/model"; arguments are OpenAI's chat parameters by their names, and those
    of `ritellm.calls.prepare.plan`. Connections are kept for the next call. Raises a RitellmError.
    """
    return _shared_client().completion(
        model, messages, stream=stream, **{**_module_settings(), **arguments}
    )


@overload
async def acompletion(
    model: str, messages: Any, *, stream: Literal[True], **arguments: Any
) -> AsyncStream: ...


@overload
async def acompletion(
    model: str, messages: Any, *, stream: Literal[False] = False, **arguments: Any
) -> Completion: ...


@overload
async def acompletion(
    model: str, messages: Any, *, stream: bool, **arguments: Any
) -> Completion | AsyncStream: ...


async def acompletion(
    model: str, messages: Any, *, stream: bool = False, **arguments: Any
) -> Completion | AsyncStream:
    """Return the whole answer, or an open stream of its chunks if `stream`; see `completion`."""
    client = await _shared_async_client()
    return await client.completion(
        model, messages, stream=stream, **{**_module_settings(), **arguments}
    )


def batch_completion(
    model: str, messages: Sequence[Any], *, max_workers: int = 100, **arguments: Any
) -> list[Any]:
    """Return the answer to each list of messages, in order; where there is none, its error.

    As many as `max_workers` are asked at a time. With `stream` each answer is an open stream.
    """

    def ask(each: Any) -> Any:
        try:
            return completion(model, each, **arguments)
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers) as threads:
        return list(threads.map(ask, messages))


def _module_settings() -> dict[str, Any]:
    """Return what was set as `ritellm.drop_params = True`, the way litellm is set up."""
    given = {
        "drop_params": ritellm.drop_params or None,
        "num_retries": ritellm.num_retries,
        "timeout": ritellm.request_timeout,
    }
    return {name: value for name, value in given.items() if value is not None}


def _shared_client() -> Client:
    global _client
    with _lock:
        if _client is None:
            _client = Client()
        return _client


@atexit.register
def _close_shared_client() -> None:
    """Leave no open socket to the end of the interpreter, which would complain of it."""
    if _client is not None:
        _client.close()


async def _shared_async_client() -> AsyncClient:
    """Return this loop's client. It is closed when the loop's async generators are shut down."""
    loop = asyncio.get_running_loop()
    if loop not in _keepers:
        client = AsyncClient()
        keeper = _keep(client)
        _keepers[loop] = client, keeper
        await keeper.__anext__()
    return _keepers[loop][0]


async def _keep(client: AsyncClient) -> AsyncGenerator[None, None]:
    """Hold `client` open until `asyncio.run` ends the generators of its loop."""
    try:
        yield
    finally:
        # The client refers to its loop, so the loop's own death would never take it out.
        _keepers.pop(asyncio.get_running_loop(), None)
        await client.close()


def _forget_after_fork() -> None:
    """A child must not share its parent's sockets."""
    global _client, _lock
    _client, _lock = None, threading.Lock()
    _keepers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
