"""The troubles of a provider, for `servers.py --trouble NAME`: which requests it refuses, and how.

`TROUBLES` names them. Seconds count from the first request. No I/O and no clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

# The end of a refused request: a status, a cut connection, or a stream that is truncated.
Fate = int | Literal["cut", "truncated"]


class Refusal(NamedTuple):
    """How a request is refused, and the headers of the refusal."""

    fate: Fate
    headers: dict[str, str] = {}  # noqa: RUF012 - a default that is never changed


@dataclass
class Bucket:
    """Accepts `rate` requests a second, `depth` at once."""

    rate: float
    depth: float
    level: float = field(init=False)
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.depth

    def takes(self, now: float) -> bool:
        """Return whether it accepts the next request."""
        self.level = min(self.depth, self.level + (now - self.filled) * self.rate)
        self.filled = now
        taken = self.level >= 1
        self.level -= taken
        return taken

    def headers(self) -> dict[str, str]:
        """Return its state as OpenAI's limit headers."""
        reset = (self.depth - self.level) / self.rate
        return {
            "x-ratelimit-limit-requests": str(int(self.depth)),
            "x-ratelimit-remaining-requests": str(int(self.level)),
            "x-ratelimit-reset-requests": f"{reset:.3f}s",
        }


class Trouble:
    """One kind of trouble; `refuse` decides on each request."""

    def __init__(self, **kinds: float | bool | str | tuple[float, ...]) -> None:
        self._is = kinds
        self._dice = random.Random(1)
        self._turn = 0
        rate = kinds.get("rate")
        depth = kinds.get("depth", rate)
        self._bucket = Bucket(float(rate), float(depth)) if rate else None  # type: ignore[arg-type]
        self.refused = 0

    def refuse(self, now: float, row: int, in_flight: int, connection: int) -> Refusal | None:
        """Return how a request is refused, or None."""
        fate = self._fate(now, row, in_flight, connection)
        if fate is None:
            return None
        self.refused += 1
        wait = self._is.get("retry_after")
        headers = {"retry-after": f"{wait:g}"} if wait else {}
        return Refusal(fate, {**headers, **self.headers()})

    def headers(self) -> dict[str, str]:
        """Return the limit headers of any response."""
        shown = self._bucket is not None and self._is.get("says")
        return self._bucket.headers() if shown and self._bucket else {}

    def slowness(self, in_flight: int) -> float:
        """Return the factor by which a response takes longer."""
        knee = float(self._is.get("knee", 0) or 0)  # type: ignore[arg-type]
        return max(1.0, in_flight / knee) if knee else 1.0

    def _fate(self, now: float, row: int, in_flight: int, connection: int) -> Fate | None:
        kinds, status = self._is, int(self._is.get("status", 429))  # type: ignore[arg-type]
        if self._dice.random() < float(kinds.get("noise", 0)):  # type: ignore[arg-type]
            return status
        if replicas := kinds.get("replicas"):
            self._turn += 1
            which = connection if kinds.get("sticky") else self._turn
            if which % int(replicas) == 0:  # type: ignore[arg-type]
                return status
        if (poison := kinds.get("poison")) and row % 10 == 0:
            fates: tuple[Fate, ...] = (500, "cut", "truncated")
            return fates[row // 10 % 3] if poison == "all" else poison  # type: ignore[return-value]
        if in_flight >= float(kinds.get("cap", 1e9)):  # type: ignore[arg-type]
            return status
        begin, end, places = kinds.get("dip", (0.0, 0.0, 0.0))  # type: ignore[misc]
        if begin <= now < end and in_flight >= places:
            return status
        begin, end = kinds.get("storm", (0.0, 0.0))  # type: ignore[misc]
        if begin <= now < end:
            return status
        if self._bucket is not None and not self._bucket.takes(now):
            return status
        return None


_NOISE: dict[str, dict[str, float]] = {
    f"noise-{share}-{status}{suffix}": {"noise": share / 100, "status": status, **wait}
    for share in (1, 5, 20, 50)
    for status in (429, 503, 529)
    for suffix, wait in (("", {}), ("-retry-after", {"retry_after": 1.0}))
}
_BUCKETS: dict[str, dict[str, float | bool]] = {
    f"bucket-{rate}{suffix}": {"rate": rate, **more}
    for rate in (50, 200)
    for suffix, more in (
        ("", {}),
        ("-retry-after", {"retry_after": 1.0}),
        ("-headers", {"says": True}),
        ("-retry-after-headers", {"retry_after": 1.0, "says": True}),
    )
}
TROUBLES: dict[str, Callable[[], Trouble]] = {
    name: (lambda kinds=kinds: Trouble(**kinds))  # type: ignore[misc]
    for name, kinds in {
        **_NOISE,
        **_BUCKETS,
        "replica": {"replicas": 4, "status": 503},
        "replica-by-connection": {"replicas": 4, "sticky": True, "status": 503},
        "poison": {"poison": "all"},
        "cap-32": {"cap": 32},
        "dip": {"dip": (3.0, 23.0, 25.0)},
        "storm": {"storm": (1.0, 4.0), "retry_after": 1.0},
        "knee-64": {"knee": 64},
    }.items()
}
