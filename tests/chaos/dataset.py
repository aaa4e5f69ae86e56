"""The rows of a chaos run: sound ones, refused ones, malformed ones and repeated ids."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import orjson

_MALFORMED = (b"nonsense {", b"[]", b'{"id": 7.5}', b'{"prompt": ""}', b'{"prompt": null}', b"\xff")
_FILES = 3


class Dataset:
    """Rows in a few files, the same for the same seed.

    `sound` are the ids that are asked, `refused` those of them that no provider answers;
    `unusable` counts the outcomes of all other lines by (id, kind of error).
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self.sound: list[str] = []
        self.refused: set[str] = set()
        self.unusable: Counter[tuple[str, str]] = Counter()
        self._dice = random.Random(f"{seed} dataset")
        self.files: dict[str, list[bytes]] = {f"in-{file}.jsonl": [] for file in range(_FILES)}
        for name, numbers in zip(self.files, _thirds(rows), strict=True):
            for number in numbers:
                self.files[name].append(self._line(name, number))

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, lines in self.files.items():
            (folder / name).write_bytes(b"\n".join(lines) + b"\n")

    def _line(self, name: str, number: int) -> bytes:
        kind = self._dice.random()
        if kind < 0.02:
            self.unusable[f"{name}:{len(self.files[name]) + 1}", "RowError"] += 1
            return self._dice.choice(_MALFORMED)
        if kind < 0.04 and self.sound:
            repeated = self._dice.choice(self.sound)
            self.unusable[repeated, "DuplicateIdError"] += 1
            return orjson.dumps({"id": repeated, "prompt": "another question"})
        id = f"row-{number}"
        self.sound.append(id)
        if kind > 0.99:
            self.refused.add(id)
        return orjson.dumps({"id": id, "prompt": f"What is {id}?", "column": number})


def answer(id: str) -> str:
    """Return the one right answer to a row."""
    dice = random.Random(id)
    words = ["alpha", "beta", "gamma", "täglich", "東京", "delta"]
    return f"{id} is " + " ".join(dice.choices(words, k=dice.randint(1, 12)))


def _thirds(rows: int) -> list[range]:
    ends = [rows * file // _FILES for file in range(_FILES + 1)]
    return [range(start, end) for start, end in pairwise(ends)]
