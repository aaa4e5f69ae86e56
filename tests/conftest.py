"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_server import FakeServer
from redis_server import RedisServer, running


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A fake model server for this test alone; what its script raises fails the test."""
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server for all tests that ask for one; skips them where there is none to run."""
    with running() as server:
        yield server
