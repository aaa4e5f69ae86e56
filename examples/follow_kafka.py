"""Follow the answers in a Kafka topic, from its beginning or from now on.

    python examples/follow_kafka.py localhost:9092 deltas --from_beginning

Written by `--deltas_to kafka:localhost:9092/deltas`. Needs `confluent-kafka`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from uuid import uuid4

from confluent_kafka import Consumer
from show import show

from ritellm import follow


def deltas(brokers: str, topic: str, offset: str) -> Iterator[bytes]:
    """Yield messages as they come; the client waits for brokers that are away."""
    # A group of its own, never committed: each run of this program sees all, as every reader of a
    # growing text must. One partition has all deltas of an id.
    group = {"group.id": f"follow-{uuid4()}", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": brokers, "auto.offset.reset": offset, **group})
    consumer.subscribe([topic])
    try:
        while True:
            message = consumer.poll(5.0)
            if message is not None and message.error() is None:
                yield message.value()
            elif message is not None:
                print(f"waiting for Kafka: {message.error()}", flush=True)
    finally:
        consumer.close()


def main() -> None:
    """Print what happens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("--from_beginning", action="store_true")
    given = parser.parse_args()
    offset = "earliest" if given.from_beginning else "latest"
    for event in follow(deltas(given.brokers, given.topic, offset)):
        show(event)


if __name__ == "__main__":
    main()
