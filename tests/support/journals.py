"""Journals of every kind for tests, and rows to record."""

from __future__ import annotations

import random

import orjson
from hypothesis import strategies as st

from transforms.journal import (
    JournalKey,
    request_hash,
)
from transforms.journal.base import NOTHING
from transforms.journal.folder.journal import FolderJournal
from transforms.journal.redis import RedisJournal
from transforms.journal.sqlite.journal import SqliteJournal

KINDS = ("sqlite", "folder", "redis")


def key(name="row-1", question="?"):
    return JournalKey(name, request_hash("openai/m", None, {}, {"messages": question}))


def value(text="hello"):
    return orjson.dumps({"completion": {"text": text}})


def keep(journal, *rows, spent=NOTHING):
    """Record `rows`, pairs of key and value, and wait until they are durable."""
    for future in [journal.record(at, what, spent) for at, what in rows]:
        future.result(timeout=120)


def open_at(kind, place, run="a run", **options):
    if kind == "sqlite":
        return SqliteJournal(place, run)
    if kind == "redis":
        return RedisJournal(place, "test", **{"tries": 1, **options})
    return FolderJournal(place, **{"linger": 0, **options})


def noise(number, size):
    """Return a value of its own for each number; it cannot be packed well."""
    return value(f"{number} " + random.Random(number).randbytes(size).hex())


ROWS = [(key(f"row-{n}"), noise(n, 300 * (n % 5))) for n in range(200)]
# Some values fill several pages; those that do not lie in one piece, where a test can find them.
ROWS += [(key(f"large-{n}"), noise(n, 9000)) for n in range(3)]
PLACES = st.integers(0, 1 << 24)  # a place in a file, modulo its length
