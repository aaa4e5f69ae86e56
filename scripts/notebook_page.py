"""Runs examples/notebook.ipynb on the embedded model; writes docs/notebook.md with its output.

    .venv-notebook/bin/python scripts/notebook_page.py    # needs the extras local, fast, template

The notebook in examples/ has no outputs, so that its history is readable. This page has them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
PAGE = ROOT / "docs" / "notebook.md"
HEAD = """\
<!-- Made by `python scripts/notebook_page.py` from examples/notebook.ipynb; a test compares. -->

[examples/notebook.ipynb](../examples/notebook.ipynb), and what its cells showed on the embedded
model.
"""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def main() -> None:
    """Run the notebook and write the page."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # no startup files
        nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": folder}}
        ).execute()
    PAGE.write_text(page_of(notebook), encoding="utf-8")


def page_of(notebook: Any) -> str:
    """Return an executed notebook as a page."""
    title, *cells = notebook.cells
    heading, _, rest = title.source.partition("\n")
    parts = [heading, HEAD.rstrip(), rest.strip()]
    for cell in cells:
        parts += [cell.source] if cell.cell_type == "markdown" else list(_code(cell))
    return "\n\n".join(parts) + "\n"


def _code(cell: Any) -> Iterator[str]:
    yield f"```py\n{cell.source}\n```"
    shown = _as_seen("".join(map(_text, cell.outputs))).strip("\n")
    if shown:
        yield f"```\n{shown}\n```"


def _text(output: Any) -> str:
    """Return an output as text; tables have one, and pictures have none."""
    if output.output_type == "stream":
        return str(output.text)
    text = str(output.data.get("text/plain", ""))
    return "" if text.startswith("<IPython.") else f"{text}\n"


def _as_seen(text: str) -> str:
    """Return a text as it is seen in the end: a line that was redrawn is there once."""
    lines = _CONTROL.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in lines)


if __name__ == "__main__":
    main()
