"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_server import FakeServer


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A fake model server for this test alone; what its script raises fails the test."""
    with FakeServer() as server:
        yield server
