"""Connections of both faces: kept alive, reused, limited, and closed."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import socket
import threading

import pytest
from faces import (
    BOTH,
    FACES,
    KEY,
    MESSAGES,
    MODEL,
    Sync,
    connections,
    content,
)
from fake_server import (
    Pause,
    Stall,
    Wait,
    api_error,
    chat_events,
    chat_stream,
    sse_error,
    stream,
)

from ritellm.client import Client
from ritellm.errors import (
    InternalServerError,
    RitellmError,
)


@pytest.mark.parametrize("make_face", [Sync, *[f for n, f in FACES.items() if "fast" in n]])
def test_silent_connections_use_tcp_keep_alive(make_face, fake_server):
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    port = int(fake_server.base_url.rpartition(":")[2].partition("/")[0])
    made.stream().read()
    ours = [
        each
        for each in gc.get_objects()
        if isinstance(each, socket.socket)
        and each.fileno() >= 0
        and each.family in (socket.AF_INET, socket.AF_INET6)
        and _peer_port(each) == port
    ]
    assert ours
    assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in ours)
    made.close()


def _peer_port(sock):
    try:
        return sock.getpeername()[1]
    except OSError:
        return None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_use_its_parents_connection(fake_server):
    with Client(base_url=fake_server.base_url, api_key=KEY) as client:
        ask = functools.partial(client.completion, MODEL, MESSAGES)
        ask()
        child = os.fork()
        if child == 0:
            try:
                ask()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        ask()
    assert connections(fake_server) == [1, 2, 1]


def test_a_connection_is_used_again(face, fake_server):
    for _ in range(3):
        face.stream().read()
        face.ask()
    assert connections(fake_server) == [1] * 6


@pytest.mark.parametrize(("status", "times"), [(400, 20), (401, 20), (429, 1), (500, 1)])
def test_a_connection_is_reused_after_a_refusal(face, fake_server, status, times):
    fake_server.enqueue(*[api_error(status, headers={"retry-after": "0"}) for _ in range(times)])
    for _ in range(times):
        with pytest.raises(RitellmError):
            face.stream(num_retries=0)
    assert content(face.ask()) == "one two three"
    assert connections(fake_server) == [1] * (times + 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_connection_is_not_reused_after_two_refusals_in_a_row(face, fake_server, status):
    """A load balancer may have tied it to the one replica that is full."""
    fake_server.enqueue(*[api_error(status)] * 2, chat_stream("a"), api_error(status))
    for refused in (True, True, False, True, False):
        expected = pytest.raises(RitellmError) if refused else contextlib.nullcontext()
        with expected:
            face.ask(num_retries=0)
    assert connections(fake_server) == [1, 1, 2, 2, 2]


def test_a_connection_is_reused_after_an_error_inside_a_stream(face, fake_server):
    fake_server.enqueue(sse_error(after=chat_events("one two")[:3], done=True))
    with pytest.raises(InternalServerError):
        face.stream().read()
    face.ask()
    assert connections(fake_server) == [1, 1]


def test_the_client_does_not_wait_for_a_server_that_keeps_the_socket_open(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one"), Pause(5)))
    assert content(face.stream().read()) == "one"
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    face.ask()
    assert connections(fake_server) == [1, 2]


def test_a_server_that_sends_more_after_the_terminator_is_not_read_to_its_end(face, fake_server):
    endless = [b": ping\n\n" * 1000] * 2000
    fake_server.enqueue(stream(*chat_events("one"), *endless))
    assert content(face.stream().read()) == "one"
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


LEAVING = {
    "close": lambda opened: opened.close(),
    "close twice": lambda opened: (opened.close(), opened.close()),
    "with": lambda opened: opened.__exit__(None, None, None),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_leaving_early_closes_the_connection(face, fake_server, leave, taken):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    opened = face.stream()
    for _ in range(taken):
        next(opened)
    leave(opened)
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    assert next(opened, "over") == "over"
    assert content(face.ask()) == "one two three"


def test_a_dropped_stream_closes_without_garbage_collection(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    gc.collect()
    gc.disable()
    try:
        for _ in face.stream():
            break
        face.settle()
        fake_server.wait_until(lambda: fake_server.cancelled == 1)
    finally:
        gc.enable()


def test_an_exception_of_the_caller_closes_the_connection(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    opened = face.stream()
    with contextlib.suppress(KeyError), opened:
        next(opened)
        raise KeyError
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_many_streams_at_once_do_not_wait_for_one_another(face, fake_server):
    go = threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(events[0], Wait(go), *events[1:])
    opened = [face.stream() for _ in range(30)]
    assert fake_server.open_streams == 30
    go.set()
    assert {content(one.read()) for one in opened} == {"one two"}


@BOTH
def test_closing_the_client_closes_its_connections(make_face, fake_server):
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    made.ask()
    made.close()
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    made.ask()
    made.close()
    assert connections(fake_server) == [1, 2]
