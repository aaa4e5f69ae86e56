"""Measures the reader of JSON in pieces: `make bench-answers`.

Our reader, ijson and jiter read the same answer in pieces of the same size, in one run. ijson is a
coroutine that takes pieces (yajl, its fastest backend). jiter keeps nothing between two pieces: it
parses all that has come for each piece, as clients do that show partial answers. Peers that are not
installed are left out; `.venv-sdk` has them.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ritellm.structured.elements import ElementReader

# The characters of a piece: a byte, a token, some tokens that came together, and a whole read.
SIZES = (1, 4, 16, 4096)
ITEMS = 2000
# jiter's cost grows with the square of the answer, so it gets a part of it.
_PEER_ITEMS = 100
_REPEATS = 3

Read = Callable[[Iterator[str]], int]


def answer(items: int) -> str:
    """Return an answer with this many items: texts, numbers and words."""
    item = '{"name": "item %d", "note": "some words, \\"quoted\\"", "score": %d.5, "ok": true}'
    return '{"items": [' + ", ".join(item % (n, n) for n in range(items)) + "]}"


def pieces(text: str, size: int) -> Iterator[str]:
    """Yield `text` in pieces of `size` characters."""
    return (text[start : start + size] for start in range(0, len(text), size))


def ours(given: Iterator[str]) -> int:
    """Return the number of items that our reader finds."""
    reader = ElementReader("$.items[*]")
    count = sum(len(reader.elements(piece)) for piece in given)
    reader.close()
    return count


def of_ijson(given: Iterator[str]) -> int:
    """Return the number of items that ijson finds."""
    ijson: Any = importlib.import_module("ijson")
    found: list[Any] = ijson.sendable_list()
    coroutine = ijson.items_coro(found, "items.item")
    count = 0
    for piece in given:
        coroutine.send(piece.encode())
        count += len(found)
        del found[:]
    coroutine.close()
    return count


def of_jiter(given: Iterator[str]) -> int:
    """Return the number of items in what jiter makes of all pieces so far, at the end."""
    jiter: Any = importlib.import_module("jiter")
    seen, value = b"", None
    for piece in given:
        seen += piece.encode()
        value = jiter.from_json(seen, partial_mode=True)
    return len(value["items"]) if value else 0


def measure() -> dict[str, dict[int, float]]:
    """Return the microseconds of CPU per piece, by reader and size."""
    readers: dict[str, tuple[Read, int]] = {
        "ritellm": (ours, ITEMS),
        "ritellm, a tenth of the answer": (ours, ITEMS // 10),
        "ijson": (of_ijson, ITEMS),
        "jiter, whole prefix, 1/20 of the answer": (of_jiter, _PEER_ITEMS),
        "jiter, whole prefix, 1/40 of the answer": (of_jiter, _PEER_ITEMS // 2),
    }
    return {
        name: {size: _usec(read, answer(items), items, size) for size in SIZES}
        for name, (read, items) in readers.items()
        if name.partition(",")[0] == "ritellm" or _is_there(name.partition(",")[0])
    }


def _usec(read: Read, text: str, items: int, size: int) -> float:
    seconds = []
    for _ in range(_REPEATS):
        started = time.process_time()
        found = read(pieces(text, size))
        seconds.append(time.process_time() - started)
        assert found == items, f"{read.__name__} found {found} items, expected {items}"
    return statistics.median(seconds) / -(-len(text) // size) * 1e6


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {platform.machine()}, {sys.platform}")
    print(f"{'microseconds of CPU per piece':42}" + "".join(f"{size:>9}" for size in SIZES))
    for name, figures in measure().items():
        print(f"{name:42}" + "".join(f"{figures[size]:9.2f}" for size in SIZES))
