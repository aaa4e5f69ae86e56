"""Prints the growing completions of a Kafka topic, from its beginning or from now on.

    python examples/follow_kafka.py localhost:9092 deltas --from_beginning

Reads the output of `--deltas_to kafka:localhost:9092/deltas`. Needs `confluent-kafka`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from uuid import uuid4

from confluent_kafka import Consumer
from show import show

from ritellm import follow
from ritellm.cli.stdout import quietly


def deltas(brokers: str, topic: str, offset: str) -> Iterator[bytes]:
    """Yield messages as they arrive; the client waits for unavailable brokers."""
    # The group is new for each run and never commits, so that each run sees all deltas. One
    # partition has all deltas of an id.
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
    """Print the events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("--from_beginning", action="store_true")
    known_args = parser.parse_args()
    offset = "earliest" if known_args.from_beginning else "latest"
    for event in follow(deltas(known_args.brokers, known_args.topic, offset)):
        show(event)


if __name__ == "__main__":
    sys.exit(quietly(main))
