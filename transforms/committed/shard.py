"""What the state of a shard holds, and what a shard emits. Pure.

The problem: a bundle's outputs are committed when the bundle ends, and an answer may take minutes.
A bundle may fail and run again, and a shard may move to another process.

The idea: the state has the open prompts and a cursor for each, memory has the log of each stream.
A bundle takes the items after the cursor and moves it:

    state (durable)              memory of one process
    prompt 7: submission 2,      log "a1f0": items 38 39 40 41 ...
    log "a1f0", cursor 40   ->   drops 38 and 39, emits 40 and 41, moves the cursor to 42

A log has the name of its submission, which its deltas have too (`ritellm.chunks.submission`).

What holds:

- A bundle that fails leaves the cursor where it was, so the next one takes the same items.
- A cursor belongs to one log, by the log's name. If this process does not have that log, or the log
  no longer reaches the cursor, the prompt is sent again: a new submission with a new name, a
  higher number and the cursor 0. So items of two submissions are never joined.
- A prompt leaves the state together with its last item, in one commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

# The version of the encoded state. A newer one must still read the older ones.
_VERSION = 1
# A shard's stored prompts are written anew when more than half of them, and this many, are closed.
_MOST_CLOSED = 64


class Log(Protocol):
    """The items of one submission, as a process has them."""

    @property
    def name(self) -> str:
        """The name of the submission: no two logs have the same."""

    def after(self, cursor: int) -> Sequence[Any] | None:
        """Return the items after `cursor`; None if items are gone that the cursor is not past."""

    def ends_at(self, cursor: int) -> bool:
        """Return whether no item will ever come after `cursor`."""

    def drop(self, cursor: int) -> None:
        """Drop the items before `cursor`, which are committed."""


class Logs(Protocol):
    """The logs of one shard that this process has."""

    def find(self, number: int, name: str) -> Log | None:
        """Return the log `name` of prompt `number`, None if it is not here."""

    def begin(self, number: int, submission: int, newer_than: str) -> Log:
        """Send prompt `number` as its `submission` (from 1), and return the log of that.

        Its name is newer than that of the submission before it. Return the log that an earlier,
        failed bundle began for the same, if there is one.
        """


@dataclass(slots=True)
class OpenPrompt:
    """A prompt without an outcome: its newest submission, and how much of it is committed."""

    number: int  # of the prompt in its shard
    timestamp: int  # microseconds, of the element
    submission: int = 0  # how often it has been sent
    name: str = ""  # of the newest submission
    cursor: int = 0  # items of that submission that are committed

    def send(self, logs: Logs) -> Log:
        """Send the prompt, once more if it has been sent; return the log of that."""
        self.submission, self.cursor = self.submission + 1, 0
        log = logs.begin(self.number, self.submission, self.name)
        self.name = log.name
        return log

    def take(self, logs: Logs) -> tuple[Sequence[Any], bool]:
        """Return the items since the cursor and whether they are the last ones; move the cursor."""
        log = logs.find(self.number, self.name)
        items = None if log is None else log.after(self.cursor)
        if log is None or items is None:
            log = self.send(logs)
            items = log.after(0) or ()
        self.cursor += len(items)
        return items, log.ends_at(self.cursor)


@dataclass(slots=True)
class Shard:
    """The state of one shard. Times are milliseconds since 1970, timestamps microseconds."""

    next_number: int = 0
    stored: int = 0  # prompts in the bag beside this state, closed ones among them
    due: int = 0  # when the timer fires that was set last
    awaits_end: bool = False  # whether the timer at the end of all input is set
    deadline: int | None = None  # after the end of the input: when to give up the open prompts
    open: dict[int, OpenPrompt] = field(default_factory=dict)

    def admit(self, timestamp: int) -> OpenPrompt:
        """Return a new open prompt; the caller stores the prompt under its number and sends it."""
        prompt = OpenPrompt(self.next_number, timestamp)
        self.open[prompt.number] = prompt
        self.next_number += 1
        self.stored += 1
        return prompt

    def needs(self, number: int, submission: int, name: str) -> bool:
        """Return whether a log may be used still: by its cursor, or as a later submission."""
        prompt = self.open.get(number)
        return prompt is not None and (name == prompt.name or submission > prompt.submission)

    def drop_committed(self, logs: Logs) -> None:
        """Drop from memory what is committed. For a state that an earlier bundle has committed."""
        for prompt in self.open.values():
            if log := logs.find(prompt.number, prompt.name):
                log.drop(prompt.cursor)

    def take(self, logs: Logs) -> Iterator[tuple[OpenPrompt, Sequence[Any]]]:
        """Yield what each open prompt has to emit, and close those that are complete."""
        for prompt in list(self.open.values()):
            items, last = prompt.take(logs)
            if last:
                del self.open[prompt.number]
            if items:
                yield prompt, items

    @property
    def hold(self) -> int | None:
        """The oldest timestamp of an open prompt, which the watermark must not pass."""
        return min((prompt.timestamp for prompt in self.open.values()), default=None)

    @property
    def is_bag_stale(self) -> bool:
        """Whether too many of the stored prompts are closed."""
        return self.stored > 2 * len(self.open) + _MOST_CLOSED

    def next_due(self, now: int, every: int) -> int:
        """Return when the timer must fire: as it is set already, or at the next tick after `now`.

        Ticks are multiples of `every`, so the shards of a process commit together.
        """
        if self.due <= now - every or self.due > now + every:
            self.due = (now // every + 1) * every
        return self.due

    def encode(self) -> bytes:
        """Return this state as bytes."""
        rows = [[p.number, p.timestamp, p.submission, p.name, p.cursor] for p in self.open.values()]
        head = [_VERSION, self.next_number, self.stored, self.due, self.awaits_end, self.deadline]
        return orjson.dumps([*head, rows])

    @classmethod
    def decode(cls, data: bytes | None) -> Shard:
        """Return the state in `data`, an empty one for None; raises ValueError for other data."""
        if not data:
            return cls()
        row = orjson.loads(data)
        if row[0] != _VERSION:
            raise ValueError(f"the state of a shard must have version {_VERSION}, got {row[0]}")
        _, next_number, stored, due, awaits_end, deadline, prompts = row
        found = {each[0]: OpenPrompt(*each) for each in prompts}
        return cls(next_number, stored, due, awaits_end, deadline, found)
