"""`completion` and `acompletion`: the clients that everybody shares, and one call each."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import Any, Literal, overload

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
    of `ritellm.prepare.plan`. Connections are kept for the next call. Raises a RitellmError.
    """
    return _shared_client().completion(model, messages, stream=stream, **arguments)


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
    return await client.completion(model, messages, stream=stream, **arguments)


def _shared_client() -> Client:
    global _client
    with _lock:
        if _client is None:
            _client = Client()
        return _client


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
        await client.close()


def _forget_after_fork() -> None:
    """A child must not share its parent's sockets."""
    global _client, _lock
    _client, _lock = None, threading.Lock()
    _keepers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
