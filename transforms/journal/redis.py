"""A journal in Redis: one server for all workers of a job.

It is as durable as the server. The death of a worker loses nothing; the server's own persistence
(`appendonly`) decides what the death of the server loses. A server that evicts keys loses
completions, and the next run pays for them again.

Each request has a hash, `PREFIX:REQUEST`, with one field per row id, so equal requests of several
rows are found together. `PREFIX:spent` holds the sums. A group of records is one transaction.
"""

from __future__ import annotations

import logging
import weakref
from concurrent.futures import Future
from typing import Any

from transforms.connections.redis import (
    PATIENT,
    RedisUnavailable,
    connect,
    errors_as,
    public_address,
)
from transforms.journal.base import (
    NOTHING,
    JournalError,
    JournalUnavailable,
    Record,
    Spent,
    Write,
    pack,
    unpack,
)
from transforms.journal.group_commit import GroupCommit
from transforms.journal.key import JournalKey

_log = logging.getLogger("transforms.journal")


class RedisJournal:
    """Completions in Redis at `url`, under keys that begin with `prefix`.

    The URL may name a `prefix` of its own, and with `password_env` the environment variable that
    holds the password: `redis://host/0?prefix=night&password_env=REDIS_PASSWORD`. `tries` is how
    often a lost connection is retried before JournalUnavailable. Several runs at once are safe.
    """

    def __init__(self, url: str, prefix: str, *, tries: int = PATIENT) -> None:
        try:
            self._redis, self._prefix = connect(url, prefix, tries)
        except (RedisUnavailable, ValueError) as error:
            raise JournalError(str(error)) from None
        self._name = public_address(url)
        self._commit = GroupCommit(_writing(self._redis, self._prefix, self._name))
        self._close = weakref.finalize(self, _close, self._commit, self._redis)

    def check(self) -> None:
        """Raise JournalUnavailable unless the server responds; warn if it may evict completions."""
        with errors_as(JournalUnavailable, self._name):
            info = self._redis.info()
        if str(info.get("maxmemory_policy", "")).startswith("allkeys"):
            _log.warning(
                "%s may evict completions, which would be paid for again; set maxmemory-policy to"
                " noeviction",
                self._name,
            )

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        with errors_as(JournalUnavailable, self._name):
            return self._unpacked(self._redis.hget(self._at(key.request), key.id))

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        with errors_as(JournalUnavailable, self._name):
            # Any field serves: all rows of this hash have the same request.
            found = self._redis.hrandfield(self._at(request), 1, withvalues=True)
        return self._unpacked(found[1]) if found else None

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Keep `value`; the future is done once the server has it."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add to what was spent."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent."""
        with errors_as(JournalUnavailable, self._name):
            tokens, usd = self._redis.hmget(f"{self._prefix}:spent", "tokens", "usd")
        return Spent(int(tokens or 0), float(usd or 0))

    def close(self) -> None:
        """Write the waiting records, and close the connection."""
        self._close()

    def _at(self, request: str) -> str:
        return f"{self._prefix}:{request}"

    def _unpacked(self, stored: bytes | None) -> bytes | None:
        try:
            return None if stored is None else unpack(stored)
        except ValueError as error:
            _log.warning(
                "a damaged entry of %s is ignored, its request will be sent again: %s",
                self._name,
                error,
            )
            return None


def _writing(redis: Any, prefix: str, name: str) -> Write:
    def write(records: list[Record]) -> None:
        spent = sum((record.spent for record in records), Spent())
        # One transaction: a completion and its cost are there together or not at all.
        with errors_as(JournalUnavailable, name), redis.pipeline(transaction=True) as pipe:
            for record in records:
                if record.key is not None:
                    at = f"{prefix}:{record.key.request}"
                    pipe.hset(at, record.key.id, pack(record.value))
            if spent != NOTHING:
                pipe.hincrby(f"{prefix}:spent", "tokens", spent.tokens)
                pipe.hincrbyfloat(f"{prefix}:spent", "usd", spent.usd)
            pipe.execute()

    return write


def _close(commit: GroupCommit, redis: Any) -> None:
    commit.close()
    redis.close()
