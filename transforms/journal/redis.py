"""The journal of a fleet: one Redis server for all workers of a job.

As durable as the server is: the death of any worker loses nothing, the server's own persistence
(`appendonly`) decides what its death loses. A server that may evict keys forgets answers.
"""

from __future__ import annotations

import importlib
import logging
import os
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

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

# Delays of 0.1, 0.2, 0.4 ... at most 5 seconds: half a minute in all, a managed server's failover.
PATIENT = 10
IMPATIENT = 1


class RedisJournal:
    """Completions in Redis at `url`, under keys that begin with `prefix`.

    The URL may name a `prefix` of its own, and with `password_env` the environment variable that
    holds the password: `redis://host/0?prefix=night&password_env=REDIS_PASSWORD`. `tries` is how
    often a lost connection is tried again before JournalUnavailable. Several runs at once are safe.
    """

    def __init__(self, url: str, prefix: str, *, tries: int = PATIENT) -> None:
        self._redis, self._prefix = connect(url, prefix, tries)
        self._name = shown(url)
        self._commit = GroupCommit(_writing(self._redis, self._prefix, self._name))
        self._close = weakref.finalize(self, _close, self._commit, self._redis)

    def check(self) -> None:
        """Raise JournalUnavailable unless the server answers; warn if it is a forgetful one."""
        with explained(self._name):
            info = self._redis.info()
        if str(info.get("maxmemory_policy", "")).startswith("allkeys"):
            _log.warning("%s may evict answers (maxmemory-policy): they are paid again", self._name)

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        with explained(self._name):
            return self._unpacked(self._redis.hget(self._at(key.request), key.id))

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        with explained(self._name):
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
        with explained(self._name):
            tokens, usd = self._redis.hmget(f"{self._prefix}:spent", "tokens", "usd")
        return Spent(int(tokens or 0), float(usd or 0))

    def close(self) -> None:
        """Write what is waiting, and hang up."""
        self._close()

    def _at(self, request: str) -> str:
        return f"{self._prefix}:{request}"

    def _unpacked(self, stored: bytes | None) -> bytes | None:
        try:
            return None if stored is None else unpack(stored)
        except ValueError as error:
            _log.warning("a damaged entry of %s is asked again: %s", self._name, error)
            return None


def _writing(redis: Any, prefix: str, name: str) -> Write:
    def write(records: list[Record]) -> None:
        spent = sum((record.spent for record in records), Spent())
        with explained(name), redis.pipeline(transaction=True) as pipe:
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


def connect(url: str, prefix: str, tries: int) -> tuple[Any, str]:
    """Return a client for `url`, and the URL's own prefix or else `prefix`.

    The client connects when it is used, and again when it must.
    """
    redis = _redis()
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    prefix = options.pop("prefix", prefix)
    patience = {"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 30}
    secret = _password(options.pop("password_env", None))
    backoff = importlib.import_module("redis.backoff").ExponentialBackoff(cap=5.0, base=0.1)
    retry = importlib.import_module("redis.retry").Retry(backoff, tries)
    address += "?" + urlencode(options) if options else ""
    try:
        return redis.Redis.from_url(address, retry=retry, **patience, **secret), prefix
    except (ValueError, TypeError) as error:
        raise JournalError(f"{shown(url)}: {error}") from None


def _password(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    if not os.environ.get(variable):
        raise JournalError(f"the environment variable {variable} (password_env) is not set here")
    return {"password": os.environ[variable]}


def refuse_password(url: str) -> None:
    """Raise JournalError, which does not repeat it, for a password in `url`."""
    address, _, query = url.partition("?")
    if urlsplit(address).password is None and "password" not in dict(parse_qsl(query)):
        return
    raise JournalError(
        f"a password in the address of {shown(url)} would be stored in the job: put it into an"
        " environment variable of the workers, and append ?password_env=NAME to the address"
    )


def shown(url: str) -> str:
    """Return the address in `url` without a password, for messages."""
    parts = urlsplit(url)
    return f"Redis at {parts.hostname or parts.path}" + (f":{parts.port}" if parts.port else "")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the client says into JournalUnavailable."""
    errors: type[Exception] = _redis().RedisError
    try:
        yield
    except errors as error:
        raise JournalUnavailable(f"{name} cannot be used: {error}") from error


def _redis() -> Any:
    try:
        return importlib.import_module("redis")
    except ImportError:
        raise JournalError(
            "a journal in Redis needs the redis client: pip install 'redis>=5'"
        ) from None
