"""The consumers of examples/, on real servers, fed by the publishers of the pipelines."""

from __future__ import annotations

from contextlib import closing

import pytest
from deltas import deltas_of
from programs import running
from streaming_backends import PubSubPlace, place_of


@pytest.fixture(params=["redis", "kafka", "pubsub"])
def place(request, name):
    with closing(place_of(request.param, request, name)) as made:
        yield made


def test_a_consumer_shows_an_answer_grow_and_end(place):
    x, y, *rest = deltas_of("a")
    with closing(place.publisher()) as publisher, running(place.consumer) as consumer:
        publisher.publish([x, y])
        consumer.until("a + 'y'".__eq__)  # while the rest is not even sent
        publisher.publish(rest)
        publisher.publish([x, y, *rest])
        publisher.publish(deltas_of("b", attempt=2))
        consumer.until("b = 'xyz'".__eq__)
    assert [line for line in consumer.lines if line.startswith("a")] == [
        "a + 'x'",
        "a + 'y'",
        "a + 'z'",
        "a = 'xyz'",
    ]


def test_a_consumer_begins_anew_with_a_newer_attempt(place):
    with closing(place.publisher()) as publisher, running(place.consumer) as consumer:
        publisher.publish(deltas_of("a", final=False))
        publisher.publish(deltas_of("a", attempt=3, pieces=("new",)))
        consumer.until("a = 'new'".__eq__)
    assert "a starts again" in consumer.lines


def test_transcripts_grow_by_a_trigger_while_deltas_come(pubsub, name):
    x, y, *rest = deltas_of("a")
    with closing(PubSubPlace(name)) as place, closing(place.publisher()) as publisher:
        subscription = place.source.removeprefix("pubsub:")
        flags = [f"--subscription={subscription}", "--runner=BundleBasedDirectRunner", "--every=1"]
        with running(["examples/growing_transcripts.py", *flags]) as transcripts:
            publisher.publish([x, y])
            transcripts.until(lambda line: "text='xy', whole=False" in line)
            publisher.publish(rest)
            transcripts.until(lambda line: "text='xyz', whole=True" in line)
