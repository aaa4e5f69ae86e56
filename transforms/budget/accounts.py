"""The sums of a job: what is spent and what is reserved, in this process or for all workers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from transforms.journal.base import NOTHING, Spent


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that all runs of a job may spend; None means no limit."""

    usd: float | None = None
    tokens: int | None = None

    def allow(self, spent: Spent) -> bool:
        """Return whether `spent` is within both caps."""
        if self.tokens is not None and spent.tokens > self.tokens:
            return False
        return self.usd is None or spent.usd <= self.usd + 1e-9  # sums of floats are not exact

    def __str__(self) -> str:
        usd = [] if self.usd is None else [f"${self.usd:g}"]
        tokens = [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        return " or ".join(usd + tokens)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one request may cost, until it is settled or released."""

    model: str
    held: Spent
    name: str = field(default_factory=lambda: uuid4().hex)


class Accounts(Protocol):
    """The sums of this process, or of all processes in Redis."""

    is_remote: bool

    def hold(self, reservation: Reservation, caps: Caps) -> bool | None:
        """Add the reservation and return True if the caps allow it.

        None means that the end of another reservation may make room, False that nothing will.
        """

    def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Remove the reservation, and add `spent`."""

    def spent(self) -> Spent:
        """Return the spending so far."""


class LocalAccounts:
    """The sums of this process, which begin with the spending of earlier runs."""

    is_remote = False

    def __init__(self, spent: Spent = NOTHING) -> None:
        self._lock = threading.Lock()
        self._spent = spent
        self._promised = NOTHING
        self._held: set[str] = set()

    def hold(self, reservation: Reservation, caps: Caps) -> bool | None:
        """Add the reservation and return True if the caps allow it, else None or False."""
        with self._lock:
            if not caps.allow(self._spent + self._promised + reservation.held):
                return None if self._held else False
            self._held.add(reservation.name)
            self._promised += reservation.held
            return True

    def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Remove the reservation, and add `spent`."""
        with self._lock:
            self._spent += spent
            if reservation.name in self._held:
                self._held.remove(reservation.name)
                self._promised -= reservation.held

    def spent(self) -> Spent:
        """Return the spending so far."""
        return self._spent
