"""Committed streams on real runners: live behind a shuffle, in their windows, and after a death."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from urllib.request import Request, urlopen

import orjson
import pytest
from conftest import ROOT
from programs import until

from ritellm import Finished, follow

SECONDS = 120
COUNT = 50


class Job:
    """The program `committed.py`, and what its workers have appended."""

    def __init__(self, processes, models, folder):
        self._processes, self._models, self._folder = processes, models, folder

    def start(self, *flags, seconds=20, drain=60, count=COUNT):
        program = [sys.executable, str(ROOT / "tests" / "runners" / "committed.py")]
        how = [str(self._folder), self._models.base_url, str(count), str(seconds), str(drain)]
        environ = {"OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
        self._processes.start("job", [*program, *how, *flags], environ)

    def rows(self, name):
        path = self._folder / name
        data = path.read_bytes() if path.exists() else b""
        whole, _, _ = data.rpartition(b"\n")
        return [orjson.loads(line) for line in whole.splitlines()]

    def begun(self):
        return {row["id"] for row in self.rows("deltas")}

    def texts(self):
        """Return what a reader of the deltas makes of them."""
        found = follow(self.rows("deltas"))
        return {event.id: event.text for event in found if isinstance(event, Finished)}

    def wait(self):
        status = self._processes.wait("job", SECONDS)
        assert status == 0, self._processes.tail("job")


@pytest.fixture
def job(processes, models, tmp_path):
    return Job(processes, models, tmp_path)


def answers(count=COUNT):
    return {f"p{n}": f"one two three four {n}" for n in range(count)}


def test_deltas_are_live_behind_a_shuffle_and_keep_their_windows(prism, job, models):
    job.start(*prism)
    until(lambda: job.begun() == answers().keys(), SECONDS)  # committed while all streams are open
    assert models.open == COUNT
    models.go()
    job.wait()
    assert job.texts() == answers()
    assert len(models.asked) == COUNT
    keys = Counter((row["submission"], row["attempt"], row["seq"]) for row in job.rows("deltas"))
    assert max(keys.values()) == 1
    assert len({row["end"] for row in job.rows("deltas")}) == 1
    # The windows ended before the answers: the hold of the watermark keeps these from being late.
    assert {row["id"]: row["text"] for row in job.rows("whole")} == answers()
    assert job.rows("parts") == job.rows("incomplete") == job.rows("dead") == []


def test_the_end_of_the_input_waits_for_answers_then_gives_them_up(prism, job, models):
    job.start(*prism, seconds=1, drain=5, count=5)
    until(lambda: models.open == 5, SECONDS)
    job.wait()
    parts = {row["id"]: row["partial_text"] for row in job.rows("incomplete")}
    assert parts == {f"p{n}": "one two " for n in range(5)}
    assert {row["error_type"] for row in job.rows("incomplete")} == {"IncompleteStream"}
    until(lambda: models.open == 0, SECONDS)


def test_a_bounded_input_ends_the_job_on_flink(flink, job, models):
    job.start(*flink.flags(), seconds=5, count=10)
    until(lambda: job.begun() == answers(10).keys(), SECONDS)
    models.go()
    job.wait()
    assert job.texts() == {row["id"]: row["text"] for row in job.rows("whole")} == answers(10)
    assert job.rows("parts") == job.rows("incomplete") == job.rows("dead") == []
    assert len(models.asked) == 10


def test_the_end_of_the_input_on_flink_gives_up_answers_that_do_not_end(flink, job, models):
    job.start(*flink.flags(), seconds=1, drain=5, count=5)
    job.wait()
    parts = {row["id"]: row["partial_text"] for row in job.rows("incomplete")}
    assert parts == {f"p{n}": "one two " for n in range(5)}
    until(lambda: models.open == 0, SECONDS)


def test_a_worker_dies_on_flink_with_50_streams_open_and_each_prompt_ends_once(flink, job, models):
    """No journal: the checkpoint has the prompts and their cursors."""
    environ = {"OPENAI_API_KEY": "sk-worker"}
    flags = [*flink.flags_of_pool(environ, parallelism=2), "--checkpointing_interval=1000"]
    flags += ["--finish_bundle_before_checkpointing"]
    before = {found["jid"] for found in flink.jobs()}
    job.start(*flags, seconds=600)
    until(lambda: job.begun() == answers().keys(), SECONDS)
    assert models.open == COUNT
    [jid] = {found["jid"] for found in flink.jobs()} - before
    try:
        assert_each_prompt_ends_once(flink, jid, job, models)
    finally:
        cancel(flink, jid)  # or it keeps the slots of the cluster


def assert_each_prompt_ends_once(flink, jid, job, models):
    """Kill a worker after two checkpoints; assert that each prompt is asked again and ends once."""

    def made():
        return flink.get(f"/jobs/{jid}/checkpoints")["counts"]["completed"]

    first = made()
    until(lambda: made() >= first + 2, SECONDS)
    os.kill(flink.workers()[0], signal.SIGKILL)
    until(lambda: len(models.asked) == 2 * COUNT, SECONDS)
    models.go()
    until(lambda: job.texts() == answers(), SECONDS)
    ends = Counter(row["id"] for row in job.rows("deltas") if row["final"])
    assert set(ends.values()) == {1}
    assert len(models.asked) == 2 * COUNT


def cancel(flink, jid):
    patch = Request(f"{flink.web}/jobs/{jid}?mode=cancel", method="PATCH")
    with urlopen(patch, timeout=10):
        pass
    until(lambda: flink.get(f"/jobs/{jid}")["state"] == "CANCELED", SECONDS)
