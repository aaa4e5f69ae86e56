"""Readers that come while answers are being written, to the program and a real Redis."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from benchmarks.serving import races


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_no_delta_is_lost_or_repeated_between_the_beginning_and_the_tail():
    pytest.importorskip("starlette", reason="the extra serve is not installed")
    result = asyncio.run(races.run(races=1_000))
    assert (result["races"], result["wrong"]) == (1_000, 0)
