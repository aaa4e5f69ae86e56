"""Prints the growing completions of a Pub/Sub subscription.

    python examples/follow_pubsub.py projects/my-project/subscriptions/deltas

Reads the output of `--deltas_to pubsub:projects/my-project/topics/deltas`. The subscription needs
no message ordering. Needs `google-cloud-pubsub`.
"""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Iterator
from typing import Any

from google.cloud import pubsub_v1
from show import show

from ritellm import follow
from ritellm.cli.stdout import quietly


def deltas(subscription: str) -> Iterator[bytes]:
    """Yield messages as they arrive; the client waits for an unavailable service."""
    messages: queue.Queue[Any] = queue.Queue()
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.subscribe(subscription, messages.put)
        while True:
            message = messages.get()
            yield message.data
            # The delta is printed by now. A reader that must not miss text reads the completions.
            message.ack()


def main() -> None:
    """Print the events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subscription")
    known_args = parser.parse_args()
    for event in follow(deltas(known_args.subscription)):
        show(event)


if __name__ == "__main__":
    sys.exit(quietly(main))
