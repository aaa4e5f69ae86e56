"""Reads some streams from Redis with the bare client: the delay that no server has added."""

from __future__ import annotations

import argparse
import json
import time

import redis

from benchmarks.serving.dated import found, quantiles


def read(url: str, ids: list[str]) -> dict[str, float]:
    """Return the delays of the deltas of `ids`, until they have ended."""
    client = redis.Redis.from_url(url, socket_timeout=120)
    places: dict[str | bytes, str | bytes] = {f"ritellm:deltas:{id}": "0-0" for id in ids}
    delays: list[float] = []
    while places:
        for name, entries in client.xread(places, block=60_000):  # type: ignore[arg-type, union-attr]
            now = time.monotonic()
            places[name.decode()] = entries[-1][0]
            for _, fields in entries:
                delays += [delay for n, delay in found([(now, fields[b"text"])]) if n]
                if fields[b"final"] == b"1":
                    del places[name.decode()]
    return quantiles(delays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("ids", nargs="+")
    given = parser.parse_args()
    print(json.dumps(read(given.url, given.ids)), flush=True)
