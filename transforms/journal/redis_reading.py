"""Reads a journal in Redis while jobs write it; see `journal.reading`.

The idea: the hashes of the journal's requests are found by a scan of their prefix. A hash only ever
gains fields, so its length tells whether it has changed since the last call.

What holds: the reader writes nothing. It remembers 16 bytes and a count for each request. Values
come in small groups, so neither side holds many of them at once. A scan finds each hash that exists
during all of it; one that is added meanwhile may come with the next call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from transforms.connections.redis import (
    IMPATIENT,
    RedisUnavailable,
    connect,
    errors_as,
    public_address,
)
from transforms.journal.base import JournalError, JournalUnavailable
from transforms.journal.key import JournalKey
from transforms.journal.reading import Entry

# Hashes of which the lengths are asked together, and of which the values are.
_LENGTHS, _VALUES = 1_000, 50
# A longer hash is read in pieces: many rows may have the same request.
_MANY_FIELDS = 200


class RedisReader:
    """The entries in Redis at `url`, under keys that begin with `prefix` or the URL's own one."""

    def __init__(self, url: str, prefix: str) -> None:
        try:
            self._redis, self._prefix = connect(url, prefix, IMPATIENT)
        except (RedisUnavailable, ValueError) as error:
            raise JournalError(str(error)) from None
        self._name = public_address(url)
        self._fields: dict[bytes, int] = {}

    def new(self) -> Iterator[Entry]:
        """Yield the entries of hashes that have changed since the last call."""
        begin = f"{self._prefix}:".encode()
        request = re.compile(re.escape(begin) + rb"([0-9a-f]{32})")
        with errors_as(JournalUnavailable, self._name):
            pattern = _literally(begin) + b"[0-9a-f]*"
            names = self._redis.scan_iter(match=pattern, count=_LENGTHS, _type="HASH")
            while some := list(islice(names, _LENGTHS)):
                found = [match[1] for match in map(request.fullmatch, some) if match]
                yield from self._changed(begin, found)

    def _changed(self, begin: bytes, requests: list[bytes]) -> Iterator[Entry]:
        lengths = self._many("hlen", [begin + each for each in requests])
        longer = [
            (each, length)
            for each, length in zip(requests, lengths, strict=True)
            if length > self._fields.get(bytes.fromhex(each.decode()), 0)
        ]
        short = [each for each, length in longer if length <= _MANY_FIELDS]
        for at in range(0, len(short), _VALUES):
            some = short[at : at + _VALUES]
            found = self._many("hgetall", [begin + each for each in some])
            for each, fields in zip(some, found, strict=True):
                yield from _entries(each, fields.items())
        for each, length in longer:
            if length > _MANY_FIELDS:
                yield from _entries(each, self._redis.hscan_iter(begin + each, count=_VALUES))
            self._fields[bytes.fromhex(each.decode())] = length

    def _many(self, command: str, names: list[bytes]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                getattr(pipe, command)(name)
            return list(pipe.execute())


def _entries(request: bytes, fields: Any) -> Iterator[Entry]:
    for id, stored in fields:
        yield Entry(JournalKey(id.decode("utf-8", "surrogateescape"), request.decode()), stored)


def _literally(prefix: bytes) -> bytes:
    """Return a pattern of Redis that matches `prefix` alone."""
    return re.sub(rb"([*?\\[\]^])", rb"\\\1", prefix)
