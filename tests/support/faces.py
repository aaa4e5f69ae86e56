"""Both faces behind one synchronous interface, so that a test runs against each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from importlib.util import find_spec
from unittest import mock

import httpx
import pytest
from fake_server import (
    Pause,
    Send,
)

from ritellm.chunks import stream_chunk_builder
from ritellm.client import Client
from ritellm.client_async import AsyncClient
from ritellm.retry import RetryPolicy
from ritellm.types import Timeouts

MODEL = "openai/fake-model"
MESSAGES = [{"role": "user", "content": "one two three"}]
KEY = "sk-proj-0123456789abcdef"
AT_ONCE = RetryPolicy(first_delay=0.0)


class Sync:
    """The synchronous face, on httpx: where there are rules for proxies, that is what it takes."""

    def __init__(self, **defaults):
        with mock.patch.dict(os.environ, no_proxy="*"):
            self.client = Client(**defaults)

    def ask(self, **arguments):
        return self.client.completion(MODEL, MESSAGES, **arguments)

    def stream(self, **arguments):
        return self.client.completion(MODEL, MESSAGES, stream=True, **arguments)

    def unwatched(self, **arguments):
        plan = self.client.draft(MODEL, stream=True, **arguments).plan(MESSAGES)
        return self.client.open(plan, emit_chunks=False)

    def settle(self):
        """Let what was begun in the background happen; here there is none."""

    def pause(self, seconds):
        time.sleep(seconds)

    def close(self):
        self.client.close()


class SyncFast(Sync):
    """The synchronous face on what it takes by itself: the extra `fast`, if that is installed."""

    def __init__(self, **defaults):
        self.client = Client(**defaults)


class Async:
    """The asynchronous face, one step of its event loop at a time, on httpx's own transport."""

    def __init__(self, **defaults):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(**{"transport": httpx.AsyncHTTPTransport()} | defaults)

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def ask(self, **arguments):
        return self.run(self.client.completion(MODEL, MESSAGES, **arguments))

    def stream(self, **arguments):
        opening = self.client.completion(MODEL, MESSAGES, stream=True, **arguments)
        return Stepped(self.loop, self.run(opening))

    def unwatched(self, **arguments):
        plan = self.client.draft(MODEL, stream=True, **arguments).plan(MESSAGES)
        return Stepped(self.loop, self.run(self.client.open(plan, emit_chunks=False)))

    def settle(self):
        for _ in range(5):
            self.run(asyncio.sleep(0))

    def pause(self, seconds):
        self.run(asyncio.sleep(seconds))

    def close(self):
        self.run(self.client.close())
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


class AsyncFast(Async):
    """The asynchronous face on what it takes by itself: the extra `fast`, if that is installed."""

    def __init__(self, **defaults):
        super().__init__(**{"transport": None} | defaults)


class Stepped:
    """An asynchronous stream that looks like a synchronous one."""

    def __init__(self, loop, opened):
        self._loop, self._stream = loop, opened

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._loop.run_until_complete(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self):
        self._loop.run_until_complete(self._stream.__aenter__())
        return self

    def __exit__(self, *error):
        self._loop.run_until_complete(self._stream.__aexit__(*error))

    def read(self):
        return self._loop.run_until_complete(self._stream.read())

    def close(self):
        self._loop.run_until_complete(self._stream.aclose())

    def __getattr__(self, name):
        return getattr(self._stream, name)


FACES = {"sync": Sync, "async": Async}
if find_spec("httptools"):
    FACES |= {"sync-fast": SyncFast, "async-fast": AsyncFast}
BOTH = pytest.mark.parametrize("make_face", FACES.values(), ids=FACES)


@contextlib.contextmanager
def closing(made):
    try:
        yield made
    finally:
        made.close()


def answered(face, streamed, **arguments):
    """Return the whole answer, which was streamed or not."""
    return face.stream(**arguments).read() if streamed else face.ask(**arguments)


def content(completion):
    return completion["choices"][0]["message"]["content"]


def text(chunks):
    return content(stream_chunk_builder(chunks))


def connections(server):
    return [request.connection for request in server.requests]


def run_async(server, work):
    async def main():
        async with AsyncClient(base_url=server.base_url, api_key=KEY, retry=AT_ONCE) as client:
            return await work(client)

    return asyncio.run(main())


SHORT = 0.1
FOREVER = 3600.0
# Longer than anybody waits; but a test that waits for it in vain comes to an end, and fails.
LONG = Pause(5)
PINGS = [step for _ in range(100) for step in (Send(b": ping\n\n"), Pause(0.01))]


def limits(**given):
    everything = {"connect": FOREVER, "first_chunk": FOREVER, "inter_chunk": FOREVER}
    return Timeouts(**(everything | given))
