"""The programs end quietly, as any filter does, once the reader of their output has left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from fake_server import chat_stream

ROOT = Path(__file__).parents[2]
BROKEN_PIPE = 141

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes")


def run_without_reader(module, *argv, stdin=b"", **environ):
    """Return the status and the stderr of a program whose stdout has no reader any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *argv],
            input=stdin,
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "k", **environ},
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr.decode()


def test_a_list_without_a_reader_prints_no_traceback():
    assert run_without_reader("ritellm", "providers") == (BROKEN_PIPE, "")


@pytest.mark.parametrize("module", ["ritellm", "pipelines.batch_complete"])
def test_a_help_text_without_a_reader_prints_no_traceback(module):
    # argparse ignores what it cannot print.
    assert run_without_reader(module, "--help") == (0, "")


def test_a_batch_job_is_done_even_if_its_summary_has_no_reader(fake_server, tmp_path):
    fake_server.script = lambda request: chat_stream("four")
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_bytes(orjson.dumps({"id": "a", "prompt": "2 + 2"}) + b"\n")
    argv = [f"--input={source}", f"--output={out}", "--model=openai/m"]
    status, said = run_without_reader(
        "pipelines.batch_complete", *argv, f"--base_url={fake_server.base_url}"
    )
    assert status == BROKEN_PIPE
    assert "Traceback" not in said
    assert "Broken" not in said
    assert orjson.loads((out / "report.json").read_bytes())["completed"] == 1


def test_a_stream_to_stdout_ends_quietly(fake_server):
    fake_server.script = lambda request: chat_stream("four")
    argv = ["--source=stdin", "--deltas_to=stdout", "--model=openai/m"]
    argv += [f"--base_url={fake_server.base_url}"]
    status, said = run_without_reader("pipelines.stream_complete", *argv, stdin=b"one\ntwo\n")
    assert (status, said) == (BROKEN_PIPE, "")
