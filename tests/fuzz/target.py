"""What a target of the fuzzer is, and how bytes are cut into pieces."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

# Words that a format may treat specially.
WORDS = (
    *(b"\n", b"\r\n", b"\r", b"\n\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xf0\x9f", b" ", b","),
    *(b"null", b"true", b"[]", b"{}", b'""', b"-1", b"1e999", b"NaN", b'"\\ud800"', b"0.5"),
    *(b"9" * 30, b"[" * 300, b"data: ", b"event: ", b": ", b"[DONE]"),
)


@dataclass(frozen=True)
class Target:
    """`check` raises if an invariant does not hold for its bytes; the `seeds` are sound bytes."""

    name: str
    seeds: Sequence[bytes]
    check: Callable[[bytes], object]
    words: Sequence[bytes] = WORDS

    def corpus(self) -> dict[str, bytes]:
        """Return the inputs that were found before, by name."""
        folder = CORPUS / self.name
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*.bin"))}


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield `data` in pieces, in several ways that only depend on `data`."""
    yield [data]
    if len(data) <= 600:
        yield [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(zlib.crc32(data))
    for _ in range(2):
        places = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 8)))
        yield [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def same_for_every_cut(read: Callable[[list[bytes]], object], data: bytes) -> None:
    """Raise AssertionError if `read` returns something else for other pieces of `data`."""
    whole, *others = (read(pieces) for pieces in cuts(data))
    for other in others:
        assert other == whole, f"{other!r:.2000}\n  differs from the whole:\n{whole!r:.2000}"
