"""Things that several users share by key, kept for a while after their last use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


@dataclass(slots=True)
class _Kept(Generic[Thing]):
    thing: Thing
    users: int = 0
    since: float = 0.0  # without users since then


class Shelf(Generic[Thing]):
    """Things by key. Each `take` has one `give_back`. The caller's lock protects it."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept[Thing]] = {}

    def take(self, key: Hashable, new: Callable[[], Thing]) -> Thing:
        """Return the thing under `key`, a new one if there is none."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(new())
        kept.users += 1
        return kept.thing

    def give_back(self, key: Hashable, now: float) -> None:
        """End one use of the thing under `key`."""
        kept = self._kept.get(key)
        if kept is not None:
            kept.users -= 1
            kept.since = now

    def is_idle(self, before: float) -> bool:
        """Return whether nothing has had a user since `before`."""
        return all(not kept.users and kept.since <= before for kept in self._kept.values())

    def forget(self, before: float) -> list[Thing]:
        """Forget and return the things without users since `before` or earlier."""
        idle = [k for k, kept in self._kept.items() if not kept.users and kept.since <= before]
        return [self._kept.pop(key).thing for key in idle]

    def clear(self) -> list[Thing]:
        """Forget and return all things."""
        things = [kept.thing for kept in self._kept.values()]
        self._kept.clear()
        return things
