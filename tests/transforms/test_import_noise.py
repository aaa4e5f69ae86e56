"""A program that imports a transform prints none of Beam's warnings about clients of Google."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from transforms.import_noise import LOGGERS, without_noise

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["complete_all", "CompletePrompts", "ToPrompts"])
def test_an_import_prints_nothing(name):
    command = [sys.executable, "-c", f"from transforms import {name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_warnings_are_printed_and_the_loggers_are_as_before(caplog):
    before = [list(logging.getLogger(name).filters) for name in LOGGERS]
    with without_noise():
        logging.getLogger().warning("apitools not found, and more")
        logging.getLogger().warning("the disk is full")
    assert [record.getMessage() for record in caplog.records] == ["the disk is full"]
    assert [list(logging.getLogger(name).filters) for name in LOGGERS] == before
