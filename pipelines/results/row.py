"""A row as the line of JSON that the job writes: `transforms.serialization` has its form."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from transforms import exact_json
from transforms.journal.key import JournalKey

# Whether the row with an id has come out.
IsShown = Callable[[str], bool]


class Row(NamedTuple):
    """One completion or failed row; `line` is its JSON without a newline."""

    id: str
    line: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The parsed line."""
        return dict(exact_json.loads(self.line.decode()))


def digest(id: str) -> bytes:
    """Return 16 bytes that stand for an id: a set of a million of them takes 110 MB."""
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def entry_name(key: JournalKey) -> str:
    """Return the key of an entry as one text."""
    return key.request + key.id
