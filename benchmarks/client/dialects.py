"""Measures the cost of a chunk in each dialect, against cutting and parsing its events alone.

    python -m benchmarks.client.dialects
    python -m benchmarks.client.dialects --runs 40 gemini anthropic

Both sides read the same bytes, in pieces as a network delivers them and without a network, in turn
and in one process. The result is the smallest CPU time of each, and the median of the ratios pair
by pair. The client's share beyond 1 is what decoding, numbering, summing and timing cost.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import orjson

from benchmarks.client.dialect_bodies import CONTENT_TYPES, MODELS, body
from ritellm import Client
from ritellm.wire import load

PIECE_BYTES = 700
MESSAGES = [{"role": "user", "content": "Say something."}]
# Parameters that a dialect's provider needs beside a key.
_PARAMS = {"bedrock": {"aws_region_name": "us-east-1"}}


class _Pieces(httpx.SyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def client_reader(dialect: str, pieces: Sequence[bytes]) -> Callable[[], int]:
    """Return a function that reads `pieces` with the client and returns the number of chunks."""
    kind = {"content-type": CONTENT_TYPES.get(dialect, "text/event-stream")}

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=kind, stream=_Pieces(pieces))

    client = Client(transport=httpx.MockTransport(respond), api_key="no-key")

    def read() -> int:
        params = _PARAMS.get(dialect, {})
        stream = client.completion(MODELS[dialect], MESSAGES, stream=True, **params)
        return sum(1 for _ in stream)

    return read


def parser(dialect: str, pieces: Sequence[bytes]) -> Callable[[], int]:
    """Return a function that cuts and parses `pieces` and returns the number of events."""
    wire = load(dialect)

    def parse() -> int:
        framing, events = wire.new_framing(), 0
        for piece in pieces:
            for _, data in framing.feed(piece):
                if data != b"[DONE]":
                    orjson.loads(data)
                events += 1
        return events

    return parse


def measure(
    dialects: Sequence[str] = (), *, chunks: int = 6000, runs: int = 15
) -> dict[str, dict[str, float]]:
    """Return the figures of `dialects`, or of all."""
    return {dialect: _compare(dialect, chunks, runs) for dialect in dialects or MODELS}


def _compare(dialect: str, chunks: int, runs: int) -> dict[str, float]:
    data = body(dialect, chunks)
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    read, parse = client_reader(dialect, pieces), parser(dialect, pieces)
    if (count := read()) < chunks or parse() < chunks:
        raise RuntimeError(f"{count} of {chunks} chunks of {dialect} were read")
    pairs = [(_usec(read, chunks), _usec(parse, chunks)) for _ in range(runs)]
    return {
        "usec_per_chunk": min(ours for ours, _ in pairs),
        "parse_usec": min(floor for _, floor in pairs),
        "ratio": statistics.median(ours / floor for ours, floor in pairs),
    }


def _usec(call: Callable[[], int], chunks: int) -> float:
    started = time.process_time()
    call()
    return (time.process_time() - started) / chunks * 1e6


def main() -> None:
    """Print the figures."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("dialects", nargs="*", help="all of them by default")
    flags.add_argument("--chunks", type=int, default=6000, help="in each response")
    flags.add_argument("--runs", type=int, default=15, help="pairs for each dialect")
    options = flags.parse_args()
    found = measure(options.dialects, chunks=options.chunks, runs=options.runs)
    for dialect, figures in found.items():
        print(dialect, {name: round(value, 2) for name, value in figures.items()})


if __name__ == "__main__":
    main()
