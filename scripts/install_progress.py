"""Shows on one line what pip or uv does, while it does it.

The line is drawn again on a terminal. Elsewhere there is none.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TextIO

_PIP_STEP = re.compile(r"\s*(Collecting|Downloading|Using cached|Building|Installing)\s+(.*)")
_UV_STEP = re.compile(r"\s*(Downloading|Downloaded|Resolved|Prepared)\s+(\S+)(.*)")
_WIDTH = 78
_KEPT = 15  # lines


def show(lines: Iterable[str], step: Callable[[str], str | None], out: TextIO) -> deque[str]:
    """Show `step` of each line on `out`; return the last lines, which say why it failed."""
    last: deque[str] = deque(maxlen=_KEPT)
    for line in lines:
        last.append(line)
        if out.isatty() and (shown := step(line)) is not None:
            out.write(f"\r\x1b[K  {shown}"[: _WIDTH + 4])
            out.flush()
    if out.isatty():
        out.write("\r\x1b[K")
        out.flush()
    return last


class PipSteps:
    """pip does one thing at a time, and finds on its way how many packages there are."""

    def __init__(self) -> None:
        self._packages = 0

    def __call__(self, line: str) -> str | None:
        """Return what to show from this line on, None for what was shown before."""
        found = _PIP_STEP.match(line)
        if found is None:
            return None
        self._packages += found[1] == "Collecting"
        step = f"{found[1].lower()} {found[2].partition(' (from')[0]}"
        if found[1] == "Installing":
            step = "installing"
        return f"{self._packages} packages: {step}"


class UvSteps:
    """uv knows the packages first, and downloads many at once."""

    def __init__(self) -> None:
        self._packages = ""
        self._arriving: dict[str, str] = {}  # names and sizes

    def __call__(self, line: str) -> str | None:
        """Return what to show from this line on, None for what was shown before."""
        found = _UV_STEP.match(line)
        if found is None:
            return None
        verb, name, size = found[1], found[2], found[3]
        if verb == "Resolved":
            self._packages = name
        elif verb == "Downloading":
            self._arriving[name] = name + size
        else:
            self._arriving.pop(name, None)
        step = "installing" if verb == "Prepared" else "downloading"
        return f"{self._packages} packages: {step} {', '.join(self._arriving.values())}".rstrip()
