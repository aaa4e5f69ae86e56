"""Fixtures that all tests share."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from fake_server import FakeServer
from redis_server import RedisServer, running

# A shell ignores SIGINT for a command in the background. Processes that tests start would inherit
# that and would not hear Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure: neither an example nor the making of examples has a deadline.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A fake model server for this test alone; what its script raises fails the test."""
    with FakeServer() as server:
        yield server


@pytest.fixture
def openai_at_hand(fake_server, monkeypatch):
    """The fake server at OpenAI's address, with no other machine within reach."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    resolve = socket.getaddrinfo

    def on_loopback(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost", "::1", None):
            raise socket.gaierror(f"{host} is not on this machine")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", on_loopback)
    return fake_server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server for all tests that ask for one; skips them where there is none to run."""
    with running() as server:
        yield server
