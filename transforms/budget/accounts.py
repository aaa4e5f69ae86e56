"""What a job has spent and reserved: the sums, in this process or shared."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from transforms.journal.base import NOTHING, Spent


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that all runs of a job may spend; None is no limit."""

    usd: float | None = None
    tokens: int | None = None

    def allow(self, spent: Spent) -> bool:
        """Return whether `spent` is within both."""
        if self.tokens is not None and spent.tokens > self.tokens:
            return False
        return self.usd is None or spent.usd <= self.usd + 1e-9  # sums of floats are not exact

    def __str__(self) -> str:
        usd = [] if self.usd is None else [f"${self.usd:g}"]
        tokens = [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        return " or ".join(usd + tokens)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room for one request, until it is settled or released."""

    model: str
    held: Spent
    name: str = field(default_factory=lambda: uuid4().hex)


class Accounts(Protocol):
    """Where the sums are kept: in this process, or in Redis for all of them."""

    is_remote: bool

    def hold(self, reservation: Reservation, caps: Caps) -> bool | None:
        """Hold what is reserved and return True if the caps allow it.

        None says that what others hold may still make room, False that nothing will.
        """

    def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Hold it no longer, and add what was spent."""

    def spent(self) -> Spent:
        """Return what was spent so far."""


class LocalAccounts:
    """The sums of this process, beginning with what earlier runs have spent."""

    is_remote = False

    def __init__(self, spent: Spent = NOTHING) -> None:
        self._lock = threading.Lock()
        self._spent = spent
        self._promised = NOTHING
        self._held: set[str] = set()

    def hold(self, reservation: Reservation, caps: Caps) -> bool | None:
        """Hold what is reserved and return True if the caps allow it, else None or False."""
        with self._lock:
            if not caps.allow(self._spent + self._promised + reservation.held):
                return None if self._held else False
            self._held.add(reservation.name)
            self._promised += reservation.held
            return True

    def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Hold it no longer, and add what was spent."""
        with self._lock:
            self._spent += spent
            if reservation.name in self._held:
                self._held.remove(reservation.name)
                self._promised -= reservation.held

    def spent(self) -> Spent:
        """Return what was spent so far."""
        return self._spent
