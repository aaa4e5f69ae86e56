"""The programs run with ritellm in place of litellm, offline: `make test-dropin`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import ritellm.dropin

# mini-swe-agent reads these when it is imported, and greets its user.
os.environ["MSWEA_SILENT_STARTUP"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _no_files_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the programs' settings out of the home directory."""
    home = tmp_path_factory.mktemp("home")
    os.environ["MSWEA_GLOBAL_CONFIG_DIR"] = str(home)
    return home


@pytest.fixture(autouse=True)
def _openai(openai_at_hand):
    """Put the fake server at OpenAI's address."""


@pytest.fixture(autouse=True)
def _in_place_of_litellm() -> None:
    """Make `import litellm` give ritellm, in this process for good."""
    pytest.importorskip("smolagents", reason="the programs are not installed: make test-dropin")
    ritellm.dropin.install()
