"""Follow the answers of a Pub/Sub subscription.

    python examples/follow_pubsub.py projects/my-project/subscriptions/deltas

Reads what `--deltas_to pubsub:projects/my-project/topics/deltas` writes; the subscription needs no
message ordering. Needs `google-cloud-pubsub`.
"""

from __future__ import annotations

import argparse
import queue
from collections.abc import Iterator
from typing import Any

from google.cloud import pubsub_v1
from show import show

from ritellm import follow


def deltas(subscription: str) -> Iterator[bytes]:
    """Yield messages as they come; the client waits for a service that is away."""
    messages: queue.Queue[Any] = queue.Queue()
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.subscribe(subscription, messages.put)
        while True:
            message = messages.get()
            yield message.data
            # It has been shown. Who must not miss an answer reads the completions.
            message.ack()


def main() -> None:
    """Print what happens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subscription")
    given = parser.parse_args()
    for event in follow(deltas(given.subscription)):
        show(event)


if __name__ == "__main__":
    main()
