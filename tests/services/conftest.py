"""Real servers, one of each for all tests; what a test makes on them has a name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import kafka_broker
import pubsub_emulator
import pytest
from loopback import Server
from programs import running
from streaming_backends import place_of


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


@pytest.fixture
def job(fake_server, tmp_path):
    """Return a function that starts the program; its journal is the test's."""

    def start(*flags, base_url=None, program=("-m", "pipelines.stream_complete")):
        model = ["--model=openai/m", f"--base_url={base_url or fake_server.base_url}"]
        return running([*program, *model, *flags], tmp_path)

    return start


@pytest.fixture
def deltas(request, name):
    """The place that deltas go to: Redis, unless the test says otherwise."""
    kind = getattr(request, "param", "redis")
    with closing(place_of(kind, request, f"{name}-out")) as place:
        yield place


@pytest.fixture
def source(request, name):
    """The place that prompts come from: Kafka, unless the test says otherwise."""
    kind = getattr(request, "param", "kafka")
    with closing(place_of(kind, request, f"{name}-in")) as place:
        yield place
