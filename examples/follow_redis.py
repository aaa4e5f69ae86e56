"""Prints the growing completions of a Redis stream, from its beginning or from now on.

    python examples/follow_redis.py redis://localhost/0 --stream ritellm:deltas

Reads the output of `--deltas_to redis://localhost/0`. Needs the extra `redis`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import redis
from show import show

from ritellm import follow
from ritellm.cli.stdout import quietly


def deltas(url: str, stream: str, since: str) -> Iterator[dict[str, str]]:
    """Yield entries as they arrive; resume after an interruption of the server."""
    client = redis.Redis.from_url(url, decode_responses=True)
    while True:
        try:
            found = client.xread({stream: since}, count=1000, block=5000)
        except redis.ConnectionError as error:
            print(f"waiting for Redis: {error}", flush=True)
            time.sleep(0.5)
            continue
        for _, entries in found:
            since = entries[-1][0]
            yield from (entry for _, entry in entries)


def main() -> None:
    """Print the events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--stream", default="ritellm:deltas")
    parser.add_argument("--since", default="0", help="an entry id, or $ for new entries")
    known_args = parser.parse_args()
    for event in follow(deltas(known_args.url, known_args.stream, known_args.since)):
        show(event)


if __name__ == "__main__":
    sys.exit(quietly(main))
