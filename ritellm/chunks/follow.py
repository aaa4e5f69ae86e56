"""Rebuild completions from published deltas, while the deltas still arrive. Pure.

The problem: a consumer reads deltas from a queue, which may deliver them in any order and more than
once. Many completions are open at the same time, and an attempt may be replaced by a newer one.

The idea: one `_Attempt` for each open completion holds the sum of the chunks up to the first gap,
and the deltas after the gap. `Follower` turns each delta into events.

The invariants:
- No gaps: a delta waits until all deltas before it have arrived.
- The newest attempt counts: its first delta voids what was shown of the attempt before.
- A closed completion stays closed: its repeated deltas are dropped.

    first delta -> open -> all deltas up to the final one -> closed (Finished)
                   open -> a delta of a newer attempt -> open (Superseded)
                   open -> too many are open, or close() -> closed (Unfinished)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import NoneType
from typing import Any, NamedTuple

import orjson

from ritellm.chunks.sequenced import SequencedSum
from ritellm.chunks.submission import prompt_of
from ritellm.chunks.sum import ChunkSum
from ritellm.types import Chunk, Completion


@dataclass(frozen=True, slots=True)
class Grown:
    """The text of `id` has grown by `added`; `chunks` are the new chunks, in order."""

    id: str
    attempt: int
    added: str
    chunks: tuple[Chunk, ...]
    _pieces: list[str] = field(repr=False, compare=False)
    _count: int = field(repr=False, compare=False)
    submission: str = ""

    @property
    def text(self) -> str:
        """The text up to this event; it is joined on each access."""
        return "".join(self._pieces[: self._count])


@dataclass(frozen=True, slots=True)
class Superseded:
    """The text of `attempt` of `submission` is void: `by` of `by_submission` replaces it."""

    id: str
    attempt: int
    by: int
    submission: str = ""
    by_submission: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The completion of `id` is whole. `outcome` has timing and attempts, `input` its row."""

    id: str
    attempt: int
    completion: Completion
    outcome: Mapping[str, Any]
    input: Any
    submission: str = ""

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return _text(self.completion)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The completion of `id` is given up, since delta number `missing` never arrived.

    `completion` is the part before that delta.
    """

    id: str
    attempt: int
    completion: Completion
    missing: int
    submission: str = ""

    @property
    def text(self) -> str:
        """The text of the first choice, as far as it arrived."""
        return _text(self.completion)


Event = Grown | Superseded | Finished | Unfinished


class Follower:
    """Follows any number of completions: `feed` takes a delta and returns the events it causes.

    A delta has the fields of `transforms.Delta`: as that row, as a mapping (also of strings, as
    Redis returns it), or as JSON.

    Args:
        max_open: the number of completions that may be open. One more, and the one that has been
            silent longest is given up (`Unfinished`).
        remember: the number of closed completions whose id and attempt are kept (about 200 bytes
            each; the text is freed at once). While an id is remembered, its repeated deltas are
            dropped. Later, a repeated delta cannot reopen the completion alone, since the deltas
            before it are missing; only all deltas from number 0 on would.
    """

    def __init__(self, *, max_open: int = 10_000, remember: int = 100_000) -> None:
        self._max_open, self._remember = max_open, remember
        self._open: OrderedDict[_Prompt, _Attempt] = OrderedDict()  # longest silent first
        self._closed: OrderedDict[_Prompt, _Rank] = OrderedDict()  # oldest first

    def feed(self, delta: Any) -> list[Event]:
        """Return the events that `delta` causes; raises ValueError if it is not a delta."""
        row = _read(delta)
        followed = self._open.get(row.prompt)
        # A delta of an older attempt is void, and one of a closed attempt is a repetition.
        known = followed.rank if followed else self._closed.get(row.prompt, _NONE)
        if row.rank < known or (followed is None and row.rank == known):
            return []
        events: list[Event] = []
        if followed is None or row.rank > known:
            if known != _NONE:
                (submission, attempt), (by_submission, by) = known, row.rank
                events.append(Superseded(row.id, attempt, by, submission, by_submission))
            followed = self._begin(row)
        events += followed.add(row)
        # Keep the longest silent completion first: it is the one to give up.
        self._open.move_to_end(row.prompt)
        if followed.whole:
            events.append(followed.finished())
            self._close(followed)
        elif len(self._open) > self._max_open:
            events.append(self._give_up(next(iter(self._open.values()))))
        return events

    def close(self) -> list[Event]:
        """Give up all open completions: there are no more deltas."""
        return [self._give_up(followed) for followed in list(self._open.values())]

    def _begin(self, row: _Row) -> _Attempt:
        self._closed.pop(row.prompt, None)
        followed = self._open[row.prompt] = _Attempt(row)
        return followed

    def _give_up(self, followed: _Attempt) -> Unfinished:
        self._close(followed)
        return followed.unfinished()

    def _close(self, followed: _Attempt) -> None:
        del self._open[followed.prompt]
        self._closed[followed.prompt] = followed.rank
        if len(self._closed) > self._remember:
            self._closed.popitem(last=False)


def follow(
    deltas: Iterable[Any], *, max_open: int = 10_000, remember: int = 100_000
) -> Iterator[Event]:
    """Yield the events of the completions whose deltas arrive, in any order and with repetition.

    The events are growing texts (`Grown`), whole completions (`Finished`), void texts
    (`Superseded`), and at the end the incomplete ones (`Unfinished`). Asynchronous consumers use
    `Follower`, which explains the arguments. Raises ValueError for anything that is not a delta.
    """
    follower = Follower(max_open=max_open, remember=remember)
    for delta in deltas:
        yield from follower.feed(delta)
    yield from follower.close()


class _Attempt:
    """The newest attempt at one completion: the sum so far, and the deltas after a gap."""

    __slots__ = ("_final", "_pieces", "_sum", "_waiting", "prompt", "rank")

    def __init__(self, row: _Row) -> None:
        self.prompt, self.rank = row.prompt, row.rank
        self._sum = ChunkSum()  # of all chunks up to the first gap
        self._waiting = SequencedSum()  # chunks after the gap
        self._pieces: list[str] = []  # the text; events share this list and remember its length
        self._final: _Row | None = None  # the final delta, perhaps ahead of a gap

    def add(self, row: _Row) -> Iterator[Grown]:
        """Add a delta, and yield the event of the chunks that it completes, if any."""
        start = self._sum.count
        if row.seq < start:
            return
        if row.final:
            self._final = self._final or row
        self._waiting.add(row.rank, row.seq, row.chunk)
        grown = []
        submission, attempt = self.rank
        for seq, parsed in enumerate(self._waiting.take(self.rank, start), start):
            self._sum.add(parsed)
            if self._final is None or seq < self._final.seq:  # the final one adds no text
                grown.append(Chunk(parsed).number(attempt, seq))
        if grown:
            added = "".join(map(_added, grown))
            self._pieces.append(added)
            count = len(self._pieces)
            chunks = tuple(grown)
            yield Grown(row.id, attempt, added, chunks, self._pieces, count, submission)

    @property
    def whole(self) -> bool:
        """Whether the final delta and all deltas before it have arrived."""
        return self._final is not None and self._sum.count > self._final.seq

    def finished(self) -> Finished:
        """Return the event of a whole completion."""
        assert self._final is not None
        outcome, input = _parsed(self._final.outcome) or {}, _parsed(self._final.input)
        (id, _), (submission, attempt) = self.prompt, self.rank
        return Finished(id, attempt, self._sum.completion(), outcome, input, submission)

    def unfinished(self) -> Unfinished:
        """Return the event of a completion that is given up."""
        (id, _), (submission, attempt) = self.prompt, self.rank
        return Unfinished(id, attempt, self._sum.completion(), self._sum.count, submission)


# The key of a completion: its id, and the digest of its request.
_Prompt = tuple[str, str]
# A submission and an attempt: a text with a greater rank is newer.
_Rank = tuple[str, int]
_NONE: _Rank = ("", 0)


class _Row(NamedTuple):
    """The fields of a delta that count here."""

    id: str
    submission: str
    attempt: int
    seq: int
    chunk: Mapping[str, Any]
    final: bool
    outcome: Any
    input: Any

    @property
    def prompt(self) -> _Prompt:
        return self.id, prompt_of(self.submission)

    @property
    def rank(self) -> _Rank:
        return self.submission, self.attempt


def _read(delta: Any) -> _Row:
    if isinstance(delta, (str, bytes)):
        delta = _json(delta)
    get: Callable[[str], Any] = partial(_field, delta)
    id, submission, chunk = get("id"), get("submission") or "", get("chunk")
    attempt, seq = _number(get("attempt")), _number(get("seq"))
    if not isinstance(id, str) or not isinstance(submission, str):
        raise ValueError(f"the id and the submission of a delta must be texts, got {delta!r:.200}")
    if attempt is None or seq is None:
        raise ValueError(f"a delta must have id, attempt and seq, got {repr(delta)[:200]}")
    chunk = chunk if isinstance(chunk, Mapping) else _json(chunk)
    if not all(map(_is_choice, _choices(chunk))):
        raise ValueError(f"the chunk of a delta must have a list of choices, got {chunk!r:.200}")
    final = get("final") not in _NOT
    return _Row(id, submission, attempt, seq, chunk, final, get("outcome"), get("input"))


def _choices(chunk: Mapping[str, Any]) -> list[Any]:
    """Return the choices of a chunk; None in them if they are not a list."""
    choices = chunk.get("choices")
    return choices if isinstance(choices, list) else [] if choices is None else [None]


def _is_choice(choice: Any) -> bool:
    return (
        isinstance(choice, Mapping)
        and isinstance(choice.get("delta"), (Mapping, NoneType))
        and isinstance(choice.get("index"), (int, NoneType))
    )


# Values of `final` that mean no; Redis has only strings.
_NOT = (None, False, "", "0")


def _field(delta: Any, name: str) -> Any:
    return delta.get(name) if isinstance(delta, Mapping) else getattr(delta, name, None)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def _json(text: Any) -> Mapping[str, Any]:
    """Return the JSON object in `text`; raises ValueError."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, Mapping):
        shown = repr(text)[:200]
        raise ValueError(f"a delta and its chunk must be JSON objects, got {shown}")
    return value


def _parsed(value: Any) -> Any:
    """Return the value of JSON text; a delta that was parsed as a whole has the value itself."""
    if isinstance(value, (str, bytes)):
        return orjson.loads(value) if value else None
    return value


def _added(chunk: Chunk) -> str:
    """Return the text that `chunk` adds to the first choice."""
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
