"""Shows on one line what pip does: pip ... | python scripts/install_progress.py

It redraws the line on a terminal and prints nothing elsewhere. If pip fails, its last lines follow.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable
from typing import TextIO

_STEP = re.compile(r"\s*(Collecting|Downloading|Using cached|Building|Installing)\s+(.*)")
_WIDTH = 78
_KEPT = 15  # lines of pip


def show(lines: Iterable[str], out: TextIO) -> deque[str]:
    """Show each step on `out`; return the last lines, which say why pip failed."""
    last: deque[str] = deque(maxlen=_KEPT)
    packages = 0
    for line in lines:
        last.append(line)
        found = _STEP.match(line)
        if found is None or not out.isatty():
            continue
        packages += found[1] == "Collecting"
        step = f"{found[1].lower()} {found[2].partition(' (from')[0]}"
        if found[1] == "Installing":
            step = "installing"
        out.write(f"\r\x1b[K  {packages} packages: {step}"[: _WIDTH + 4])
        out.flush()
    if out.isatty():
        out.write("\r\x1b[K")
        out.flush()
    return last


def main() -> int:
    """Return 0 if pip has installed everything, which its last line says."""
    last = show(sys.stdin, sys.stderr)
    if any(line.startswith(("Successfully installed", "Requirement already")) for line in last):
        return 0
    sys.stderr.write("".join(last))
    return 1


if __name__ == "__main__":
    sys.exit(main())
