"""`results` on real jobs: finished, killed in the middle, running, and run again after the kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from fake_server import Wait, api_error, chat_events, stream
from redis_server import running as redis_running
from started_programs import started

ROOT = Path(__file__).parents[3]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "k", "PYTHONUNBUFFERED": "1"}
ROWS = 30


def prompt(request):
    return request.json["messages"][-1]["content"]


class Site:
    """A job with its server: rows up to `free` are answered, the others wait for `go`."""

    def __init__(self, server, folder):
        self.server, self.folder, self.out = server, folder, folder / "out"
        self.go, self.free = threading.Event(), ROWS
        self.asked = Counter()
        server.script = self.script
        with open(folder / "in.jsonl", "wb") as file:
            for n in range(ROWS):
                named = {"id": f"row {n}"} if n % 3 else {}
                row = {**named, "prompt": f"say {n // 6 if n % 3 == 0 else n}", "topic": f"t{n}"}
                file.write(orjson.dumps(row) + b"\n")

    def script(self, request):
        text = prompt(request)
        self.asked[text] += 1
        number = int(text.rpartition(" ")[2])
        if number == 8:
            return api_error(400, "invalid_request_error")
        events = chat_events(f"answer to {text}")
        if number < self.free:
            return stream(*events)
        return stream(*events[:2], Wait(self.go), *events[2:])

    def argv(self, *flags):
        return [
            *(sys.executable, "-m", "pipelines.batch_complete"),
            *("--input", "in.jsonl", "--output", "out", "--model", "openai/m"),
            *("--base_url", self.server.base_url, "--max_in_flight", "64", *flags),
        ]

    def run(self, *flags):
        done = subprocess.run(
            self.argv(*flags), cwd=self.folder, env=ENV, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr

    @contextmanager
    def running(self, *flags):
        """Start the job; kill it at the end of the block if it still runs."""
        job = subprocess.Popen(
            self.argv(*flags), cwd=self.folder, env=ENV, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield job
        finally:
            if job.poll() is None:
                job.kill()
            job.wait(60)

    def results(self, *flags):
        argv = [sys.executable, "-m", "pipelines.results", str(self.out), *flags]
        return subprocess.run(argv, env=ENV, capture_output=True, timeout=120)

    def rows(self, *flags):
        done = self.results(*flags)
        assert done.returncode == 0, done.stderr
        return [orjson.loads(line) for line in done.stdout.splitlines()]

    def until(self, count, *flags):
        """Return the rows once `results` prints `count` of them."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            done = self.results(*flags)
            rows = [orjson.loads(line) for line in done.stdout.splitlines()]
            if len(rows) >= count:
                return rows, done.stderr.decode()
        raise AssertionError(f"{len(rows)} rows of {count}: {done.stderr.decode()}")


@pytest.fixture
def site(fake_server, tmp_path):
    made = Site(fake_server, tmp_path)
    yield made
    made.go.set()


def check(rows):
    """Check that each row comes once, with its own input and answer."""
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        asked = row["input"]["prompt"]
        assert row["text"] == f"answer to {asked}"
        number = int(row["input"]["topic"][1:])
        assert row["id"] == (f"row {number}" if number % 3 else f"in.jsonl:{number + 1}")


JOURNALS = ["auto", "./journal"]
FORMATS = ["jsonl", "csv", "parquet"]
HELD = [n for n in range(ROWS) if (n // 6 if n % 3 == 0 else n) >= 12]
FREE = ROWS - 1 - len(HELD)  # one row fails


@pytest.mark.parametrize("format", FORMATS)
def test_a_finished_job_has_all_rows_in_each_format(site, format):
    site.run("--output_format", format)
    rows = site.rows()
    check(rows)
    assert len(rows) == ROWS - 1
    [failed] = site.rows("--failed")
    assert (failed["id"], failed["error_type"]) == ("row 8", "BadRequestError")
    assert failed["input"]["topic"] == "t8"


@pytest.mark.parametrize("journal", JOURNALS)
def test_rows_are_seen_while_the_job_runs_after_it_was_killed_and_once_in_its_repetition(
    site, journal
):
    site.free = 12
    flags = ["--journal", journal]
    with site.running(*flags) as job:
        rows, said = site.until(FREE)
        assert "the job is running" in said
        check(rows)
        assert len(rows) == FREE
        job.send_signal(signal.SIGKILL)
        job.wait(60)
    done = site.results()
    assert b"the job stopped before its end; the same command continues it" in done.stderr
    killed = [orjson.loads(line) for line in done.stdout.splitlines()]
    check(killed)
    assert {row["id"] for row in killed} == {row["id"] for row in rows}
    asked = site.asked.copy()
    with site.running(*flags, "--shard_seconds", "1"):
        again, _ = site.until(FREE)
        check(again)
        site.go.set()
        rows, _ = site.until(ROWS - 1)
        check(rows)
    assert all(site.asked[f"say {n}"] == asked[f"say {n}"] for n in range(12) if n != 8)


@pytest.mark.parametrize("flags", [["--keep_order"], ["--output_format", "parquet"]])
def test_rows_that_no_file_has_until_the_end_come_from_the_journal(site, flags):
    site.free = 12
    with site.running(*flags) as job:
        rows, _ = site.until(FREE)
        check(rows)
        site.go.set()
        assert job.wait(200) == 0
    rows = site.rows()
    check(rows)
    assert len(rows) == ROWS - 1
    if "--keep_order" in flags:
        numbers = [int(row["input"]["topic"][1:]) for row in rows]
        assert numbers == sorted(numbers)


def test_a_follower_sees_each_row_once_as_it_becomes_whole_until_the_job_ends(site):
    site.free = 12
    with site.running("--shard_seconds", "1") as job:
        site.until(1)
        argv = [sys.executable, "-m", "pipelines.results", str(site.out), "--follow"]
        with started(argv, env=ENV, stdout=subprocess.PIPE) as follower:
            rows = [orjson.loads(follower.stdout.readline()) for _ in range(FREE)]
            assert job.poll() is None
            site.go.set()
            rows += [orjson.loads(line) for line in follower.stdout]
            assert follower.wait(100) == 0
        assert job.wait(100) == 0
    check(rows)
    assert len(rows) == ROWS - 1


def test_a_follower_says_that_the_job_has_died(site):
    site.free = 12
    with site.running() as job:
        site.until(1)
        argv = [sys.executable, "-m", "pipelines.results", str(site.out), "--follow"]
        follower = subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with follower:
            rows = [orjson.loads(follower.stdout.readline()) for _ in range(FREE)]
            job.kill()
            rest, said = follower.communicate(timeout=100)
    check(rows)
    assert follower.returncode == 1
    assert rest == b""
    assert said.decode() == (
        f"results: {FREE} completions; the job stopped before its end; the same command"
        " continues it\n"
    )


def test_ctrl_c_ends_a_follower_with_one_line_and_leaves_the_job_alone(site):
    site.free = 12
    with site.running() as job:
        site.until(1)
        argv = [sys.executable, "-m", "pipelines.results", str(site.out), "--follow"]
        follower = subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with follower:
            follower.stdout.readline()
            follower.send_signal(signal.SIGINT)
            _, said = follower.communicate(timeout=100)
        assert follower.returncode == 130
        assert said.decode() == "results: stopped; the job is not touched\n"
        site.go.set()
        assert job.wait(200) == 0


def test_a_template_and_columns_are_a_part_of_the_join(site):
    site.free = 12
    flags = ["--prompt_template", "say {{ prompt[4:] }}", "--columns", "prompt,topic"]
    with site.running(*flags, "--param", "seed=5", "--temperature", "0.5"):
        rows, _ = site.until(FREE)
    check(rows)
    assert all(row["input"].keys() == {"prompt", "topic"} for row in rows)


@pytest.mark.parametrize("part", ["--limit", "--sample"])
def test_a_part_of_the_input_is_joined_with_the_same_rows(site, part):
    site.free = 0
    with site.running(part, "6"):
        site.go.set()
        site.until(5)
    with site.running(part, "6"):
        rows, _ = site.until(5)
    check(rows)
    assert len(rows) <= 6


def test_input_that_is_gone_is_said(site):
    site.free = 12
    with site.running():
        site.until(FREE)
    (site.folder / "in.jsonl").unlink()
    done = site.results()
    assert done.returncode == 0
    assert b"rows that are in no shard yet are missing here" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_ends_the_program_quietly(site):
    site.run()
    argv = [sys.executable, "-m", "pipelines.results", str(site.out)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(argv, env=ENV, stdout=writing, stderr=subprocess.PIPE, timeout=100)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.fixture
def redis():
    with redis_running() as server:
        yield server


def test_rows_that_only_a_journal_in_redis_has_come_while_the_job_runs_and_after_its_death(
    site, redis
):
    site.free = 12
    with site.running("--journal", redis.url) as job:
        rows, said = site.until(FREE)
        assert said == f"results: {FREE} completions; the job is running\n"
        argv = [sys.executable, "-m", "pipelines.results", str(site.out), "--follow"]
        with started(argv, env=ENV, stdout=subprocess.PIPE) as follower:
            followed = [orjson.loads(follower.stdout.readline()) for _ in range(FREE)]
            job.kill()
            assert (follower.stdout.read(), follower.wait(100)) == (b"", 1)
    for found in (rows, followed, site.rows()):
        check(found)
        assert len(found) == FREE


def test_a_server_of_redis_that_is_gone_is_said(site, redis):
    site.free = 12
    with site.running("--journal", redis.url):
        site.until(FREE)
    redis.kill()
    done = site.results()
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"rows that are in no shard yet are missing here" in done.stderr
    assert b"Traceback" not in done.stderr


class Checked:
    """Answers rows with a label: a wrong one first to even rows, and always to row 5."""

    def __init__(self, site):
        self._site = site

    def __call__(self, request):
        messages = request.json["messages"]
        [text] = [each["content"] for each in messages if str(each["content"]).startswith("say ")]
        number = int(text.rpartition(" ")[2])
        is_first = all(each["role"] != "assistant" for each in messages)
        label = "ugly" if number == 5 or (number % 2 == 0 and is_first) else "good"
        events = chat_events(orjson.dumps({"label": label, "of": text}).decode())
        if number < 12 or (number % 2 == 0 and is_first):
            return stream(*events)
        return stream(*events[:2], Wait(self._site.go), *events[2:])


@pytest.mark.parametrize("journal", JOURNALS)
def test_rows_with_checked_answers_come_from_the_journal_once_their_answer_is_valid(site, journal):
    """Row 5 fails, and the even ones of those that wait have a refused answer in the journal."""
    pytest.importorskip("jsonschema_rs")
    site.server.script = Checked(site)
    flags = ["--answer_columns", "label:enum(good,bad), of:str", "--journal", journal]
    with site.running(*flags) as job:
        rows, _ = site.until(FREE)
        site.server.wait_until(lambda: site.server.open_streams == len(HELD), 60)
        argv = [sys.executable, "-m", "pipelines.results", str(site.out), "--follow"]
        with started(argv, env=ENV, stdout=subprocess.PIPE) as follower:
            followed = [orjson.loads(follower.stdout.readline()) for _ in range(FREE)]
            check_labels(followed, FREE)
            site.go.set()
            followed += [orjson.loads(line) for line in follower.stdout]
            assert follower.wait(100) == 0
        assert job.wait(200) == 0
    check_labels(rows, FREE)
    check_labels(followed, ROWS - 1)
    check_labels(site.rows(), ROWS - 1)


def check_labels(rows, count):
    assert (len({row["id"] for row in rows}), len(rows)) == (count, count)
    for row in rows:
        asked = row["input"]["prompt"]
        assert (row["label"], row["of"]) == ("good", asked)
        assert row["reasks"] == (int(asked.rpartition(" ")[2]) + 1) % 2
