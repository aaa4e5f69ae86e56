"""Draws docs/demo.svg: what a terminal shows of a real run of the demo, from beginning to end.

    .venv/bin/python scripts/demo_picture.py    # needs rich, and runs the embedded model

The picture is one screen: the line of the progress as it was half-way, then what the job prints at
its end. It has no script and no fonts from elsewhere.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python -m pipelines.batch_complete --input examples/questions.jsonl --output out/"
COLUMNS = 92
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_CONTROL = re.compile(r"\x1b\[K")


def recorded(command: list[str]) -> str:
    """Run `command` on a terminal of its own, and return all that it printed."""
    leader, follower = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, env=environ
    )
    os.close(follower)
    pieces = []
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(leader)
    if process.wait():
        sys.exit(b"".join(pieces).decode())
    return b"".join(pieces).decode()


def screen(text: str) -> list[str]:
    """Return the lines that stay; of a line that was redrawn also how it was half-way."""
    lines = []
    for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        drawn = [part for part in _CONTROL.sub("", line).split("\r") if part]
        busy = [part for part in drawn if " left" in part]
        lines += [busy[len(busy) // 2]] if busy else []
        lines += drawn[-1:] if drawn else [""]
    return lines


def main() -> None:
    """Run the demo into a temporary folder, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        words = COMMAND.replace("out/", f"{folder}/out/").split()
        text = recorded([sys.executable, *words[1:]]).replace(f"{folder}/", "")
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text(f"$ {COMMAND}", style="bold"))
    for line in screen(text):
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop")
    picture = console.export_svg(title="ritellm", theme=MONOKAI, unique_id="demo")
    (ROOT / "docs" / "demo.svg").write_text(_FONTS.sub("", picture))


if __name__ == "__main__":
    main()
