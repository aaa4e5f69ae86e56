"""The servers of these tests are the real ones: what goes in comes out, also after a restart."""

from __future__ import annotations

from contextlib import closing

import pytest
from deltas import deltas_of
from loopback import Wire
from programs import until
from streaming_backends import PROJECT, KafkaPlace, PubSubPlace


def test_kafka_keeps_what_it_took_when_it_dies(kafka, name):
    place = KafkaPlace(kafka, name)
    with closing(place), closing(place.publisher()) as publisher:
        publisher.publish(deltas_of("a"))
        kafka.kill()
        kafka.start()
        until(lambda: len(place.received()["delta"]) == 4)
        assert [row["text"] for row in place.received()["delta"]] == ["x", "y", "z", ""]


def test_pubsub_delivers_through_a_wire(pubsub, name, monkeypatch):
    pubsub_v1 = pytest.importorskip("google.cloud.pubsub_v1")
    wire = Wire(pubsub.port)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", wire.address)
    PubSubPlace(name).close()
    with pubsub_v1.SubscriberClient() as subscriber:
        publisher = pubsub_v1.PublisherClient()
        publisher.publish(f"{PROJECT}/topics/{name}", b"sent").result(30)
        wire.cut()
        wire.join()
        where = f"{PROJECT}/subscriptions/{name}"
        got = subscriber.pull(subscription=where, max_messages=1, timeout=30)
        assert [each.message.data for each in got.received_messages] == [b"sent"]
        publisher.stop()


def test_redis_keeps_what_it_took_when_it_dies(redis_server, name):
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(redis_server.url) as client:
        client.xadd(name, {"delta": "kept"})
    redis_server.kill()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert [fields for _, fields in client.xrange(name)] == [{b"delta": b"kept"}]
