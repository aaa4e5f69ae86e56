"""A real Redis, and the sink that publishes to it."""

from __future__ import annotations

import pytest
from redis_server import running

from transforms.sinks.redis import RedisStreams


@pytest.fixture(scope="module")
def redis():
    with running() as server:
        yield server


@pytest.fixture
def publish(redis):
    publisher = RedisStreams(f"{redis.url}?per_id=true")()
    yield publisher.publish
    publisher.close()
