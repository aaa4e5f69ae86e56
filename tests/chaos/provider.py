"""A provider that fails in every known way, and keeps the books: whom it answered, how often."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

from fake_server import (
    Call,
    Close,
    Reply,
    Request,
    Reset,
    Send,
    Stall,
    api_error,
    chat_events,
    html_page,
    sse_error,
    stream,
)

from chaos.dataset import answer

# The share of attempts that end so; the others are answered.
_FAULTS: dict[str, float] = {
    "reset": 0.02,
    "reset before the head": 0.01,
    "truncated": 0.02,
    "stall": 0.002,
    "429 with Retry-After": 0.001,
    "5xx": 0.02,
    "error inside 200": 0.02,
    "HTML page": 0.01,
}
# Throttling without a time to wait comes when so many rows of a run were asked: a client that is
# throttled looks for a slower pace, and one that starts with it does nothing else for a while.
_THROTTLED = {0.1: "429", 0.12: "503"}


class Provider:
    """The script of a server. `billed` counts whole answers by row, `asked` requests by row.

    An answer is billed when all of it but its last event has been sent: what is lost after that was
    paid for. What happens to the nth attempt of a row is decided by the seed, but for throttling;
    every fault happens to one row at least.
    """

    def __init__(self, seed: int, sound: Sequence[str], refused: set[str]) -> None:
        self._throttled = {round(share * len(sound)): name for share, name in _THROTTLED.items()}
        self.asked: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._in_this_run = 0
        self._seed = seed
        self._refused = refused
        chosen = random.Random(f"{seed} faults").sample(sound, len(_FAULTS))
        self._first_faults = dict(zip(chosen, _FAULTS, strict=True))

    def new_run(self) -> None:
        """Note that the job starts again."""
        self._in_this_run = 0

    def __call__(self, request: Request) -> Reply:
        """Return what becomes of a request."""
        id = row_of(request)
        self.asked[id] += 1
        self._in_this_run += 1
        if id in self._refused:
            return api_error(400, "invalid_request_error", None, "Not this one.")
        dice = random.Random(f"{self._seed} {id} {self.asked[id]}")
        throttled = self._throttled.get(self._in_this_run)
        fault = throttled or self._first_faults.pop(id, None) or _fault(dice)
        if fault is None:
            return self._whole(id)
        self.faults[fault] += 1
        return _broken(fault, dice, chat_events(answer(id)))

    @property
    def paid_twice(self) -> int:
        """How many answers were paid for beyond the first of each row."""
        return sum(self.billed.values()) - len(self.billed)

    def _whole(self, id: str) -> Reply:
        *events, last = chat_events(answer(id))

        def bill() -> None:
            self.billed[id] += 1

        return stream(b"".join(events), Call(bill), last)


def row_of(request: Request) -> str:
    """Return the id of the row that asks."""
    found = re.fullmatch(r"What is (row-\d+)\?", request.json["messages"][-1]["content"])
    assert found, "a row was asked that must not be"
    return found[1]


def _fault(dice: random.Random) -> str | None:
    roll = dice.random()
    for name, share in _FAULTS.items():
        if roll < share:
            return name
        roll -= share
    return None


def _broken(fault: str, dice: random.Random, events: list[bytes]) -> Reply:
    """Return a reply that fails somewhere before its end."""
    some = events[: dice.randint(1, len(events) - 3)]  # no finish reason yet
    replies: dict[str, Callable[[], Reply]] = {
        "reset": lambda: stream(*some, Reset()),
        "reset before the head": lambda: Reply(steps=[Reset()]),
        "truncated": lambda: stream(*some, dice.choice([Close(), Send(b"")])),
        "stall": lambda: stream(*some, Stall()),
        "429": lambda: api_error(429, "rate_limit_error"),
        "429 with Retry-After": lambda: api_error(429, headers={"retry-after": "1"}),
        "503": lambda: api_error(503),
        "5xx": lambda: api_error(dice.choice([500, 502, 504])),
        "error inside 200": lambda: sse_error(after=some, done=dice.random() < 0.5),
        "HTML page": lambda: html_page(dice.choice([200, 502])),
    }
    return replies[fault]()
