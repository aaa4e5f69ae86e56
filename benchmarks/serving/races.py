"""Lets readers come while answers are being written: each must get each delta once.

    python -m benchmarks.serving.races --races 10000

A reader comes at a random moment of an answer, so the server reads the beginning from Redis while
the sink appends to it. Each answer has two readers; the first of them makes the server open the
stream. Half of the readers leave after some events, and come back with their position.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.serving import programs
from benchmarks.serving.dated import delta, last_delta
from benchmarks.serving.writer import SUBMISSION
from transforms.sinks.redis import RedisStreams

# Answers that are written at the same time, their deltas, and the seconds between two of them.
_ANSWERS, _DELTAS, _GAP = 250, 20, 0.2
_PER_ANSWER = 2


@dataclass
class _Reader:
    """One reader, and what it has of its answer."""

    id: str
    comes: float
    leaves: Sequence[int]  # after how many events, each time
    text: str = ""
    resets: int = 0
    ended: bool = False
    position: str = ""

    async def read(self, port: int) -> None:
        """Read to the end of the answer, with pauses."""
        await asyncio.sleep(self.comes)
        for most in (*self.leaves, None):
            await self._read_some(port, most)
            if self.ended:
                return

    async def _read_some(self, port: int, most: int | None) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        resumes = f"Last-Event-ID: {self.position}\r\n" if self.position else ""
        request = f"GET /streams/{self.id}?as=events HTTP/1.1\r\nHost: 127.0.0.1\r\n{resumes}\r\n"
        writer.write(request.encode())
        events, name, data, position = 0, "", "", ""
        while most is None or events < most:
            line = (await reader.readline()).decode()
            if not line:
                break
            key, _, value = line.rstrip("\n").partition(": ")
            name = value if key == "event" else name
            data = value if key == "data" else data
            position = value if key == "id" else position
            if line == "\n" and data:
                self._take(name, json.loads(data), position)
                events, name, data = events + 1, "", ""
                if self.ended:
                    break
        writer.transport.abort()

    def _take(self, name: str, data: dict[str, Any], position: str) -> None:
        self.position = position or self.position
        self.text += data.get("text", "")
        self.resets += name == "reset"
        self.ended = name == "end"


def _publish(publisher: Any, ids: Sequence[str], number: int, now: float) -> dict[str, str]:
    """Publish a delta of each answer, one after another; return their texts."""
    texts = {}
    for id in ids:
        if number == _DELTAS:
            publisher.publish([last_delta(id, number, SUBMISSION)])
        else:
            one = delta(id, number, now, SUBMISSION)
            publisher.publish([one])
            texts[id] = one.text
    return texts


async def _round(publisher: Any, port: int, number: int, chosen: random.Random) -> list[bool]:
    """Return of each reader whether it has read its answer, each delta once."""
    ids = [f"r{number}-{k}" for k in range(_ANSWERS)]
    readers = [
        _Reader(id, chosen.uniform(0, _DELTAS * _GAP), _leaves(chosen))
        for id in ids
        for _ in range(_PER_ANSWER)
    ]
    tasks = [asyncio.create_task(reader.read(port)) for reader in readers]
    texts = dict.fromkeys(ids, "")
    begin = time.monotonic()
    for turn in range(_DELTAS + 1):
        await asyncio.sleep(max(begin + turn * _GAP - time.monotonic(), 0))
        chosen.shuffle(ids)
        for id, text in (
            await asyncio.to_thread(_publish, publisher, ids, turn, time.monotonic())
        ).items():
            texts[id] += text
    await asyncio.wait_for(asyncio.gather(*tasks), 120)
    return [one.ended and not one.resets and one.text == texts[one.id] for one in readers]


def _leaves(chosen: random.Random) -> list[int]:
    return [chosen.randint(1, 5)] if chosen.random() < 0.5 else []


async def run(races: int, seed: int = 1) -> dict[str, Any]:
    """Return how many races there were, and how many readers had another text than was written."""
    chosen, right = random.Random(seed), []
    with programs.redis() as url, programs.door(url, "--wait_seconds=60") as (_, port):
        publisher = RedisStreams(f"{url}?per_id=true")()
        number, started = 0, time.monotonic()
        while len(right) < races:
            right += await _round(publisher, port, number, chosen)
            number += 1
        publisher.close()
    seconds = round(time.monotonic() - started)
    return {"races": len(right), "wrong": right.count(False), "seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(asyncio.run(run(given.races, given.seed)))
