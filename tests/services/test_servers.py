"""The servers of these tests are the real ones: what goes in comes out, also after a restart."""

from __future__ import annotations

import pytest
from loopback import Wire
from places import PROJECT, kafka_topic, pubsub_topic


def test_kafka_keeps_what_it_took_when_it_dies(kafka, name):
    confluent_kafka = pytest.importorskip("confluent_kafka")
    kafka_topic(kafka, name)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.address})
    producer.produce(name, b"kept", key=b"k")
    assert producer.flush(30) == 0
    kafka.kill()
    kafka.start()
    where = {"bootstrap.servers": kafka.address, "group.id": name, "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer(where)
    consumer.subscribe([name])
    message = consumer.poll(30)
    assert (message.key(), message.value(), message.error()) == (b"k", b"kept", None)
    consumer.close()


def test_pubsub_delivers_through_a_wire(pubsub, name, monkeypatch):
    pubsub_v1 = pytest.importorskip("google.cloud.pubsub_v1")
    wire = Wire(pubsub.port)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", wire.address)
    pubsub_topic(name)
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
