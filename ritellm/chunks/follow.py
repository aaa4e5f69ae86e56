"""The consumer's side: answers put together again while their deltas still come. Pure.

Knows nothing of where deltas come from: any order, any number of times, any number of answers at
once. Three rules make it one story an answer:

- no gaps: a delta waits until all before it are there;
- the newest attempt counts: when it appears, what was shown of the one before is void;
- finished is finished: what comes again of an answer that was closed is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson

from ritellm.chunks.sequenced import SequencedSum
from ritellm.chunks.sum import ChunkSum
from ritellm.types import Chunk, Completion


@dataclass(frozen=True, slots=True)
class Grown:
    """The text of `id` has grown by `added`; `chunks` are what it grew by, in order."""

    id: str
    attempt: int
    added: str
    chunks: tuple[Chunk, ...]
    _pieces: list[str] = field(repr=False, compare=False)
    _count: int = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The text as far as it had come with this event; put together when asked for."""
        return "".join(self._pieces[: self._count])


@dataclass(frozen=True, slots=True)
class Superseded:
    """What came of `id` in `attempt` is void: it is being answered anew, as attempt `by`."""

    id: str
    attempt: int
    by: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to `id` is whole. `outcome` has timing and attempts, `input` the prompt's row."""

    id: str
    attempt: int
    completion: Completion
    outcome: Mapping[str, Any]
    input: Any

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return _text(self.completion)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The answer to `id` is given up: delta number `missing` never came. `completion` is a part."""

    id: str
    attempt: int
    completion: Completion
    missing: int

    @property
    def text(self) -> str:
        """The text of the first choice, as far as it had come."""
        return _text(self.completion)


Event = Grown | Superseded | Finished | Unfinished


class Follower:
    """Follows any number of answers; `feed` it deltas, and it returns what has happened.

    A delta is what `transforms.Delta` holds: as that row, as a mapping (of strings, too, as Redis
    has it), or as JSON.

    Args:
        max_open: how many answers may be under way. One more, and the one that has been silent
            longest is given up (`Unfinished`).
        remember: of how many closed answers the id and the attempt are kept (about 200 bytes each;
            the text goes at once). As long as an id is remembered, a delta that comes again is
            dropped. One that comes later still does not bring the answer back, since those
            before it are missing; only all deltas from number 0 on would.
    """

    def __init__(self, *, max_open: int = 10_000, remember: int = 100_000) -> None:
        self._max_open, self._remember = max_open, remember
        self._open: OrderedDict[str, _Attempt] = OrderedDict()  # the longest silent first
        self._closed: OrderedDict[str, int] = OrderedDict()  # id to attempt, the oldest first

    def feed(self, delta: Any) -> list[Event]:
        """Return what has happened by `delta`; raises ValueError if it is none."""
        row = _read(delta)
        followed = self._open.get(row.id)
        known = followed.attempt if followed else self._closed.get(row.id, 0)
        if row.attempt < known or (followed is None and row.attempt == known):
            return []
        events: list[Event] = []
        if followed is None or row.attempt > known:
            if known:
                events.append(Superseded(row.id, known, row.attempt))
            followed = self._begin(row)
        events += followed.add(row)
        self._open.move_to_end(row.id)
        if followed.whole:
            events.append(followed.finished())
            self._close(followed)
        elif len(self._open) > self._max_open:
            events.append(self._give_up(next(iter(self._open.values()))))
        return events

    def close(self) -> list[Event]:
        """Give up all that is under way: no more deltas will come."""
        return [self._give_up(followed) for followed in list(self._open.values())]

    def _begin(self, row: _Row) -> _Attempt:
        self._closed.pop(row.id, None)
        followed = self._open[row.id] = _Attempt(row.id, row.attempt)
        return followed

    def _give_up(self, followed: _Attempt) -> Unfinished:
        self._close(followed)
        return followed.unfinished()

    def _close(self, followed: _Attempt) -> None:
        del self._open[followed.id]
        self._closed[followed.id] = followed.attempt
        if len(self._closed) > self._remember:
            self._closed.popitem(last=False)


def follow(
    deltas: Iterable[Any], *, max_open: int = 10_000, remember: int = 100_000
) -> Iterator[Event]:
    """Yield what happens to the answers whose deltas come, in any order and number.

    Growing texts (`Grown`), whole answers (`Finished`), texts that are void (`Superseded`), and at
    the end whatever is not whole (`Unfinished`). For asynchronous consumers there is `Follower`,
    which says what the arguments mean. Raises ValueError for what is no delta.
    """
    follower = Follower(max_open=max_open, remember=remember)
    for delta in deltas:
        yield from follower.feed(delta)
    yield from follower.close()


class _Attempt:
    """One attempt at one answer: the sum so far, and what waits for a gap to close."""

    __slots__ = ("_final", "_pieces", "_sum", "_waiting", "attempt", "id")

    def __init__(self, id: str, attempt: int) -> None:
        self.id, self.attempt = id, attempt
        self._sum = ChunkSum()
        self._waiting = SequencedSum()
        self._pieces: list[str] = []
        self._final: _Row | None = None

    def add(self, row: _Row) -> Iterator[Grown]:
        """Add a delta, and yield by what the text has grown if it has."""
        start = self._sum.count
        if row.seq < start:
            return
        if row.final:
            self._final = self._final or row
        self._waiting.add(row.attempt, row.seq, row.chunk)
        grown = []
        for seq, parsed in enumerate(self._waiting.take(self.attempt, start), start):
            self._sum.add(parsed)
            if self._final is None or seq < self._final.seq:  # the final one adds nothing
                grown.append(Chunk(parsed).number(self.attempt, seq))
        if grown:
            added = "".join(map(_added, grown))
            self._pieces.append(added)
            count = len(self._pieces)
            yield Grown(self.id, self.attempt, added, tuple(grown), self._pieces, count)

    @property
    def whole(self) -> bool:
        """Whether the final delta and all before it are there."""
        return self._final is not None and self._sum.count > self._final.seq

    def finished(self) -> Finished:
        """Return the event that ends it well."""
        assert self._final is not None
        outcome, input = _parsed(self._final.outcome) or {}, _parsed(self._final.input)
        return Finished(self.id, self.attempt, self._sum.completion(), outcome, input)

    def unfinished(self) -> Unfinished:
        """Return the event that ends it otherwise."""
        return Unfinished(self.id, self.attempt, self._sum.completion(), self._sum.count)


class _Row(NamedTuple):
    """What matters of a delta."""

    id: str
    attempt: int
    seq: int
    chunk: Mapping[str, Any]
    final: bool
    outcome: Any
    input: Any


def _read(delta: Any) -> _Row:
    if isinstance(delta, (str, bytes)):
        delta = _json(delta)
    get: Callable[[str], Any] = partial(_field, delta)
    id, chunk = get("id"), get("chunk")
    attempt, seq = _number(get("attempt")), _number(get("seq"))
    if not isinstance(id, str) or attempt is None or seq is None:
        raise ValueError(f"a delta needs id, attempt and seq; this is none: {repr(delta)[:200]}")
    chunk = chunk if isinstance(chunk, Mapping) else _json(chunk)
    final = get("final") not in _NOT
    return _Row(id, attempt, seq, chunk, final, get("outcome"), get("input"))


_NOT = (None, False, "", "0")


def _field(delta: Any, name: str) -> Any:
    return delta.get(name) if isinstance(delta, Mapping) else getattr(delta, name, None)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def _json(text: Any) -> Mapping[str, Any]:
    """Return the object that `text` is the JSON of; raises ValueError."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, Mapping):
        shown = repr(text)[:200]
        raise ValueError(f"a delta and its chunk are JSON objects; this is none: {shown}")
    return value


def _parsed(value: Any) -> Any:
    """Return what the JSON text `value` says; in a delta that was JSON as a whole it is said."""
    if isinstance(value, (str, bytes)):
        return orjson.loads(value) if value else None
    return value


def _added(chunk: Chunk) -> str:
    """Return what `chunk` adds to the text of the first choice."""
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            content = (choice.get("delta") or {}).get("content")
            return content if isinstance(content, str) else ""
    return ""


def _text(completion: Completion) -> str:
    for choice in completion["choices"]:
        if not choice["index"]:
            content = choice["message"]["content"]
            return content if isinstance(content, str) else ""
    return ""
