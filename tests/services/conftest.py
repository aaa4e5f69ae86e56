"""Real servers, one of each for all tests; what a test makes on them has a name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import kafka_broker
import pubsub_emulator
import pytest
from loopback import Server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Server]:
    """A Kafka broker; it can die and come back with its data."""
    with kafka_broker.running() as broker:
        yield broker


@pytest.fixture(scope="session")
def pubsub_server() -> Iterator[Server]:
    """The Pub/Sub emulator."""
    with pubsub_emulator.running() as emulator:
        yield emulator


@pytest.fixture
def pubsub(pubsub_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The Pub/Sub emulator, which every client of this test finds by itself."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_server.address)
    return pubsub_server


@pytest.fixture
def name() -> str:
    """A name that nothing else on the servers has."""
    return f"t{uuid4().hex}"
