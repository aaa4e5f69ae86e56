"""Reading on after an interrupted wait is an error, never half an answer as if it were whole."""

from __future__ import annotations

import asyncio
import signal

import pytest
from faces import FACES, KEY, MESSAGES, MODEL, Async, closing, content
from fake_server import Pause, chat_events, stream

from ritellm import StreamTruncatedError

ASYNC = pytest.mark.parametrize(
    "make_face", [made for made in FACES.values() if issubclass(made, Async)]
)
SYNC = pytest.mark.parametrize(
    "make_face", [made for made in FACES.values() if not issubclass(made, Async)]
)
HALF = [*chat_events("one two")[:2], Pause(5)]


async def cancelled_in(wait, ready):
    """Cancel `wait` in the middle."""
    waiting = asyncio.ensure_future(wait)
    while not ready():
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@ASYNC
@pytest.mark.parametrize("how", ["iterate", "read", "batch"])
def test_reading_on_after_a_cancelled_wait_is_an_error_with_the_part(make_face, fake_server, how):
    fake_server.enqueue(stream(*HALF))
    face = make_face(base_url=fake_server.base_url, api_key=KEY)

    async def ask():
        opened = await face.client.completion(MODEL, MESSAGES, stream=True)
        for _ in range(2):
            await opened.__anext__()
        turns = iter(range(20))
        await cancelled_in(opened.__anext__(), lambda: next(turns, None) is None)
        reading = {"iterate": opened.__anext__, "read": opened.read, "batch": opened.batch}[how]
        for _ in range(2):
            with pytest.raises(StreamTruncatedError, match="was interrupted") as caught:
                await reading()
            assert content(caught.value.partial) == "one "
            assert not caught.value.retryable

    with closing(face):
        face.run(ask())


@SYNC
def test_reading_on_after_an_interrupt_is_an_error_with_the_part(make_face, fake_server):
    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    fake_server.enqueue(stream(*HALF))
    face = make_face(base_url=fake_server.base_url, api_key=KEY)
    opened = face.stream()
    next(opened), next(opened)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            opened.read()
    finally:
        signal.signal(signal.SIGALRM, before)
    for read in (opened.__next__, opened.read):
        with pytest.raises(StreamTruncatedError, match="was interrupted") as caught:
            read()
        assert content(caught.value.partial) == "one "
    face.close()
