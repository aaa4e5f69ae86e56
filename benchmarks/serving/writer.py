"""Writes answers through the Redis sink, a delta of each every `gap` seconds: a process of its own.

It prints a line when each answer has its first delta, and waits for a line before it goes on.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.serving.dated import delta, last_delta
from transforms.sinks.redis import RedisStreams

SUBMISSION = "9f86d081884c7d65.0197a3c5e2b1.5f3c9a01b7e4"
# Seconds between two batches, as those of `PublishDeltas`.
_FLUSH = 0.01


def write(url: str, streams: int, deltas: int, gap: float) -> float:
    """Publish the answers; return by how many seconds the latest batch was late."""
    publisher = RedisStreams(f"{url}?per_id=true")()
    ids = [f"s{number}" for number in range(streams)]
    publisher.publish([delta(id, 0, time.monotonic(), SUBMISSION) for id in ids])
    print("begun", flush=True)
    sys.stdin.readline()
    begin, latest = time.monotonic(), 0.0
    # The deltas of the streams are spread evenly over the gap.
    due = [
        (number * gap + k * gap / streams, id, number)
        for number in range(1, deltas)
        for k, id in enumerate(ids)
    ]
    done = 0
    while done < len(due):
        now = time.monotonic()
        end = done
        while end < len(due) and begin + due[end][0] <= now:
            end += 1
        if end > done:
            publisher.publish([delta(id, n, begin + at, SUBMISSION) for at, id, n in due[done:end]])
            latest = max(latest, time.monotonic() - begin - due[end - 1][0])
        done = end
        time.sleep(max(now + _FLUSH - time.monotonic(), 0))
    publisher.publish([last_delta(id, deltas, SUBMISSION) for id in ids])
    publisher.close()
    return latest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--deltas", type=int, required=True)
    parser.add_argument("--gap", type=float, default=0.05)
    given = parser.parse_args()
    print(write(given.url, given.streams, given.deltas, given.gap), flush=True)
