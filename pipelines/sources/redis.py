"""Prompts from a Redis stream, which several processes share as a group.

The problem: an entry that a process has received belongs to this process, also while it is dead.
Another one must take it over, but not while its owner is alive and its completion takes long.

The idea: an entry is leased. A thread of the process renews the leases of what it has. An entry
whose lease has run out goes to the next process that looks. The same thread acknowledges, because
`settle` must not wait.

The invariants:
- An entry is deleted only after its outcome is published, in one step with its acknowledgement.
- Acknowledgements that Redis did not take are sent again, until `close`.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from pipelines.sources.base import Message, SourceUnavailable
from transforms.connections.prompt_streams import prompts_of, split_source
from transforms.connections.redis import IMPATIENT, RedisUnavailable, connect, public_address

_log = logging.getLogger("pipelines.feeds")

# The most entries that are received before the first of them is sent: other processes lack them.
_AHEAD = 16
# Seconds between two looks of a reader that does not wait.
_LOOK = 0.02
_RETRY = 1.0


@dataclass(frozen=True)
class RedisSource:
    """The stream `KEY:prompts` at `url`, whose options are `key`, `group`, `lease` (in seconds).

    `password_env` names the variable that holds the password.
    """

    url: str

    def check(self) -> None:
        """Raise SourceUnavailable unless the server responds and lets us read the stream."""
        client, where = _connected(self.url)
        try:
            _make_group(client, where)
        except _errors() as error:
            raise SourceUnavailable(f"{where.name} cannot be used: {error}") from None
        finally:
            client.close()

    def __call__(self) -> _RedisConsumer:
        """Return a member of the group; raises SourceUnavailable."""
        client, where = _connected(self.url)
        return _RedisConsumer(client, where)

    def __repr__(self) -> str:
        return f"RedisSource({public_address(self.url)})"  # without the password


@dataclass(frozen=True)
class _Where:
    name: str
    stream: str
    group: str
    lease: int


def _connected(url: str) -> tuple[Any, _Where]:
    try:
        address, key, group, lease = split_source(url)
        client, _ = connect(address, "", IMPATIENT)
    except (ValueError, RedisUnavailable) as error:
        raise SourceUnavailable(str(error)) from None
    return client, _Where(public_address(address), prompts_of(key), group, lease)


def _errors() -> Any:
    return importlib.import_module("redis").RedisError


def _make_group(client: Any, where: _Where) -> None:
    """Make the group, which reads the stream from its beginning, unless it is there."""
    try:
        client.xgroup_create(where.stream, where.group, id="0", mkstream=True)
    except importlib.import_module("redis").ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


class _RedisConsumer:
    def __init__(self, client: Any, where: _Where) -> None:
        self._client, self._where = client, where
        self._name = uuid4().hex
        self._ready: deque[Message] = deque()
        self._leases = _Leases(client, where, self._name)
        self._next_look = self._next_claim = 0.0
        self._said = False
        self._leases.start()

    def poll(self, seconds: float) -> Message | None:
        """Return the next entry. Raises SourceUnavailable if Redis refuses to be read."""
        now = time.monotonic()
        if not self._ready and (seconds or now >= self._next_look):
            self._next_look = now + _LOOK
            self._receive(seconds, now)
        return self._ready.popleft() if self._ready else None

    def keep(self) -> None:
        """Do nothing: a thread renews the leases."""

    def settle(self, receipts: Sequence[bytes]) -> None:
        """Hand the acknowledgements to the thread that sends them."""
        self._leases.settle(receipts)

    def close(self) -> None:
        """Send the acknowledgements, and let other processes have the rest at once."""
        self._leases.close()
        self._client.close()

    def _receive(self, seconds: float, now: float) -> None:
        redis = importlib.import_module("redis")
        try:
            if now >= self._next_claim:
                self._next_claim = now + self._where.lease / 4
                self._take(self._abandoned())
            if not self._ready:
                self._take(self._new(seconds))
            self._said = False
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise SourceUnavailable(f"{self._where.name} cannot be read: {error}") from None
            self._make_group_again()
        except redis.RedisError as error:
            if not self._said:
                _log.warning("%s cannot be read: %s; trying again", self._where.name, error)
            self._said = True
            time.sleep(min(max(seconds, _LOOK), _RETRY))

    def _make_group_again(self) -> None:
        """Make the group that Redis has lost, with all that it had."""
        try:
            _make_group(self._client, self._where)
        except _errors() as error:
            _log.warning("%s cannot be used: %s; trying again", self._where.name, error)

    def _new(self, seconds: float) -> Any:
        where = self._where
        block = int(seconds * 1000) or None
        found = self._client.xreadgroup(
            where.group, self._name, {where.stream: ">"}, count=_AHEAD, block=block
        )
        return found[0][1] if found else ()

    def _abandoned(self) -> Any:
        """Return entries of processes that have died."""
        where = self._where
        reply = self._client.xautoclaim(
            where.stream, where.group, self._name, where.lease * 1000, count=_AHEAD
        )
        return reply[1]

    def _take(self, entries: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> None:
        for number, fields in entries:
            if not fields:  # another client has deleted it
                self._leases.settle([number])
            elif self._leases.take(number):
                self._ready.append(_message(self._where, number, fields))


def _message(where: _Where, number: bytes, fields: dict[bytes, bytes]) -> Message:
    shown = number.decode()
    data = fields.get(b"json")
    if data is None:  # XADD ritellm:prompts * prompt 'Why?'
        row = {_text(name): _text(value) for name, value in fields.items()}
        data = orjson.dumps(row)
    location = f"{where.name}, {where.stream}, entry {shown}"
    return Message(data, f"{where.stream}:{shown}", location, number)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class _Leases:
    """The entries of one reader: a thread renews their leases, and acknowledges them."""

    def __init__(self, client: Any, where: _Where, name: str) -> None:
        self._client, self._where, self._name = client, where, name
        self._lock = threading.Lock()
        self._open: dict[bytes, None] = {}
        self._settled: list[bytes] = []
        self._news, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="ritellm-leases", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def take(self, number: bytes) -> bool:
        """Lease an entry; return False if this reader has it already."""
        with self._lock:
            is_new = number not in self._open
            self._open[number] = None
            return is_new

    def settle(self, numbers: Sequence[bytes]) -> None:
        """Acknowledge and delete entries soon."""
        with self._lock:
            self._settled += numbers
        self._news.set()

    def close(self) -> None:
        """Send the acknowledgements, and end the leases of the rest."""
        self._is_over = True
        self._news.set()
        self._thread.join(10)
        with self._lock:
            left = list(self._open.keys() - set(self._settled))
        try:
            self._acknowledge()
            self._lease(left, idle=self._where.lease * 1000)
        except _errors() as error:
            _log.warning("%s: some prompts may be answered again: %s", self._where.name, error)

    def _run(self) -> None:
        every = self._where.lease / 4
        renewal, pause = time.monotonic() + every, every
        while not self._is_over:
            self._news.wait(pause)
            self._news.clear()
            try:
                self._acknowledge()
                if time.monotonic() >= renewal:
                    with self._lock:
                        numbers = list(self._open)
                    self._lease(numbers, idle=0)
                    renewal = time.monotonic() + every
                pause = max(renewal - time.monotonic(), 0.0)
            except Exception as error:  # the thread must outlive all that Redis answers
                _log.warning("%s: prompts cannot be acknowledged now: %s", self._where.name, error)
                pause = min(_RETRY, every)

    def _acknowledge(self) -> None:
        with self._lock:
            numbers, self._settled = self._settled, []
        if not numbers:
            return
        where = self._where
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.xack(where.stream, where.group, *numbers)
                pipe.xdel(where.stream, *numbers)
                pipe.execute()
        except BaseException:
            with self._lock:
                self._settled = numbers + self._settled
            raise
        with self._lock:
            for number in numbers:
                self._open.pop(number, None)

    def _lease(self, numbers: Sequence[bytes], idle: int) -> None:
        """Set how long ago the entries were last leased, in milliseconds."""
        if numbers:
            where = self._where
            self._client.xclaim(
                where.stream, where.group, self._name, 0, numbers, idle=idle, justid=True
            )
