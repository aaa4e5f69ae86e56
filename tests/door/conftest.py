"""Node with the packages of package.json, which `make test-door` installs into .node-door."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".node-door"


class Node:
    """Runs scripts where their packages are."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, script, *arguments):
        """Return the process of a script of this folder or of examples/."""
        return subprocess.Popen(
            ["node", str(self.folder / script), *arguments], stdout=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="session")
def node():
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (FOLDER / "node_modules" / "eventsource").is_dir():
        pytest.skip("the packages of tests/door/package.json are not installed: make test-door")
    examples = HERE.parents[1] / "examples"
    for script in (*HERE.glob("*.mjs"), examples / "read_answer.mjs"):
        shutil.copy(script, FOLDER)
    return Node(FOLDER)
