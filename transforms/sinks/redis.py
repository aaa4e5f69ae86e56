"""Publishes elements to Redis streams: one stream for all ids, or one for each id.

`transforms.connections.delta_streams` says how the stream of one id is numbered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ritellm.chunks.submission import nonce_of, order_of
from transforms.connections.delta_streams import (
    KEY,
    MOST_BEGUN,
    begun_of,
    deltas_of,
    entry_number,
    has_streams_of_ids,
    split_options,
)
from transforms.connections.redis import IMPATIENT, connect, errors_as, public_address
from transforms.elements import DeadLetter, Delta, Outcome
from transforms.serialization import KINDS, to_bytes
from transforms.sinks.base import SinkUnavailable

# A shared stream keeps about this many entries: a week without readers must not fill the server.
MOST_ENTRIES = 1_000_000
# How long the stream of one id is kept after its last delta.
TTL_SECONDS = 3600
# The stream of one id keeps about this many entries: an answer without end must not fill Redis.
MOST_OF_ID = 100_000
# The stream of an id is trimmed at one delta in this number.
_TRIM_EVERY = 256
# The most answers whose expiry is known here. A forgotten one costs one command more.
_MOST_KNOWN = 10_000
_STALE = "equal or smaller"


@dataclass(frozen=True)
class RedisStreams:
    """Makes the publisher for `url`, on the worker.

    Deltas go to the stream `KEY:deltas` (`KEY:completions`, `KEY:failed`), KEY being the URL's
    `key` or "ritellm", as entries with the fields `id submission attempt seq text finish_reason
    final chunk` (others: `id` and `json`). The URL's `maxlen` is about how many entries a stream
    keeps. With `per_id=true` each id's deltas go to `KEY:deltas:ID`, kept for `ttl` seconds after
    the last; that stream has the newest submission of the id, whatever its request, and about
    `maxlen` of its entries (100,000). The stream `KEY:begun` lists the ids of about 1,000 answers,
    as they begin. A failure ends the stream of its id, too: with an entry that has its class in the
    field `failed`. `password_env` names the variable that holds the password.
    """

    url: str

    def __call__(self) -> _RedisPublisher:
        """Return the publisher, which connects on first use. Raises ValueError for a bad URL."""
        return _RedisPublisher(self.url)

    def __repr__(self) -> str:
        return f"RedisStreams({public_address(self.url)})"  # without the password


class _RedisPublisher:
    def __init__(self, url: str) -> None:
        address, options = split_options(url)
        self._key = options.get("key", KEY)
        self._per_id = has_streams_of_ids(url)
        self._most = int(options.get("maxlen", MOST_ENTRIES))
        self._most_of_id = int(options.get("maxlen", MOST_OF_ID))
        self._ttl = int(options.get("ttl", TTL_SECONDS))
        self._renewals: dict[str, float] = {}  # by id: when its expiry must be set again
        self._now = 0.0
        self._name = public_address(address)
        self._redis, _ = connect(address, "", IMPATIENT)

    def check(self) -> None:
        """Raise SinkUnavailable unless the server responds."""
        with errors_as(SinkUnavailable, self._name):
            self._redis.ping()

    def publish(self, batch: Sequence[Outcome]) -> None:
        """Append `batch` in one round trip."""
        unavailable = errors_as(SinkUnavailable, self._name)
        self._now = time.monotonic()
        with unavailable, self._redis.pipeline(transaction=False) as pipe:
            for element in batch:
                self._append(pipe, element)
            replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and _STALE not in str(reply):
                raise SinkUnavailable(f"{self._name} refuses an entry: {reply}") from reply

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _append(self, pipe: Any, element: Outcome) -> None:
        if not isinstance(element, Delta):
            stream = f"{self._key}:{_STREAMS[KINDS[type(element)]]}"
            fields = {"id": element.id, "json": to_bytes(element)}
            pipe.xadd(stream, fields, maxlen=self._most)
            if self._per_id and isinstance(element, DeadLetter):
                self._fail(pipe, element)
        elif self._per_id:
            self._append_of_id(pipe, element)
        else:
            pipe.xadd(f"{self._key}:deltas", _fields(element), maxlen=self._most)

    def _append_of_id(self, pipe: Any, delta: Delta) -> None:
        """Append to the stream of the id; keep the stream short, and from expiring meanwhile."""
        id, seq = delta.id, delta.seq
        stream, number, fields = deltas_of(self._key, id), _number(delta), _fields(delta)
        if seq == 0:  # earlier submissions are void
            oldest = number.partition("-")[0] + "-0"
            pipe.xadd(stream, fields, id=number, minid=oldest, approximate=False)
            self._list(pipe, id)
        elif seq % _TRIM_EVERY:
            pipe.xadd(stream, fields, id=number)
        else:
            pipe.xadd(stream, fields, id=number, maxlen=self._most_of_id)
        if delta.final or seq == 0 or self._now > self._renewals.get(id, 0.0):
            pipe.expire(stream, self._ttl)
            self._renew_later(id, delta.final)

    def _renew_later(self, id: str, is_over: bool) -> None:
        if is_over:
            self._renewals.pop(id, None)
            return
        if len(self._renewals) >= _MOST_KNOWN:
            self._renewals.clear()
        self._renewals[id] = self._now + self._ttl / 4

    def _fail(self, pipe: Any, letter: DeadLetter) -> None:
        """End the stream of the id: Redis numbers the entry after the last one."""
        stream = deltas_of(self._key, letter.id)
        self._renewals.pop(letter.id, None)
        pipe.xadd(
            stream, {**_fields(_NO_DELTA._replace(id=letter.id)), "failed": letter.error_type}
        )
        pipe.expire(stream, self._ttl)
        self._list(pipe, letter.id)

    def _list(self, pipe: Any, id: str) -> None:
        """List the answer among those that have begun, after its first entry."""
        stream = begun_of(self._key)
        pipe.xadd(stream, {"id": id}, maxlen=MOST_BEGUN)
        pipe.expire(stream, self._ttl)


# An entry that readers of deltas skip: it adds nothing.
_NO_DELTA = Delta("", 0, 0, "", None, '{"object":"chat.completion.chunk","choices":[]}')
_STREAMS = {"completion": "completions", "failed": "failed"}


def _number(delta: Delta) -> str:
    """Return the number of the entry of `delta`: two parts of 64 bits."""
    parts = order_of(delta.submission), nonce_of(delta.submission), delta.attempt, delta.seq
    first, second = entry_number(*parts)
    return f"{first}-{second}"


def _fields(delta: Delta) -> dict[str, Any]:
    """Return the entry of `delta`; the final one has `outcome` and `input` too."""
    fields: dict[str, Any] = {
        "id": delta.id,
        "submission": delta.submission,
        "attempt": delta.attempt,
        "seq": delta.seq,
        "text": delta.text,
        "finish_reason": delta.finish_reason or "",
        "final": int(delta.final),
        "chunk": delta.chunk,
    }
    if delta.final:
        fields |= {"outcome": delta.outcome or "", "input": delta.input or ""}
    return fields
