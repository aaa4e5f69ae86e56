"""A job whose journal is a Redis server that dies under it."""

from __future__ import annotations

import threading

import orjson
import pytest
from chaos.job import started
from fake_server import Wait, chat_events, stream
from redis_server import running

ROWS, IN_FLIGHT, BEFORE = 30, 5, 10


@pytest.fixture
def redis():
    with running() as server:
        yield server


@pytest.fixture
def job(fake_server, redis, tmp_path):
    return Job(fake_server, redis, tmp_path)


class Job:
    """A command that completes thirty rows, each time in a process of its own."""

    def __init__(self, server, redis, folder):
        self.server, self.redis, self.folder, self.runs = server, redis, folder, 0
        rows = [{"id": f"{n}", "prompt": f"question {n}"} for n in range(ROWS)]
        (folder / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
        self.argv = ["--input", f"{folder}/in.jsonl", "--output", f"{folder}/out"]
        self.argv += ["--model", "openai/m", "--base_url", server.base_url]
        self.argv += ["--max_in_flight", str(IN_FLIGHT), "--journal", redis.url]

    def run(self, *flags, **hooks):
        """Return the exit status; what it says is in `said`."""
        self.runs += 1
        log = self.folder / f"log-{self.runs}"
        process = started([*self.argv, *flags], log, **hooks)
        process.join()
        self.said = log.read_text().splitlines()
        return process.exitcode

    def run_while(self, happens, *flags, **hooks):
        """Run; call `happens` once some completions are recorded and others in flight."""
        over = threading.Event()

        def script(request):
            events = chat_events(request.json["messages"][0]["content"])
            late = len(self.server.requests) > BEFORE
            return stream(*events[:-1], *([Wait(over)] if late else []), events[-1])

        def act():
            self.server.wait_until(lambda: len(self.server.requests) == BEFORE + IN_FLIGHT, 60)
            happens()
            over.set()

        self.server.script = script
        other = threading.Thread(target=act)
        other.start()
        status = self.run(*flags, **hooks)
        other.join()
        return status

    @property
    def texts(self):
        files = self.folder.glob("out/*-*.jsonl")
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        return {row["id"]: row["text"] for row in map(orjson.loads, lines)}


ALL = {f"{n}": f"question {n}" for n in range(ROWS)}


def test_a_job_that_does_not_require_its_journal_continues_without_it_and_warns_once(job):
    assert job.run_while(job.redis.kill) == 0
    assert job.texts == ALL
    said = [line for line in job.said if "journal" in line]
    assert len(said) == 1
    assert (
        "journal unavailable, continuing without it; requests may be repeated: Redis at" in said[0]
    )
    job.redis.start()
    assert job.run() == 0
    assert len(job.server.requests) == ROWS + (ROWS - BEFORE), "ten were kept"
    assert job.texts == ALL


def test_a_job_that_requires_its_journal_stops_and_loses_no_row(job):
    assert job.run_while(job.redis.kill, "--journal_required", redis_tries=0) == 1
    assert job.said[-1].startswith("batch_complete: the job failed: JournalUnavailable: Redis at ")
    assert job.texts.items() < ALL.items(), "what is readable is whole"
    asked = len(job.server.requests)
    job.redis.start()
    assert job.run("--journal_required") == 0
    assert job.texts == ALL
    assert len(job.server.requests) - asked == ROWS - BEFORE


def test_a_server_that_returns_within_the_patience_of_a_job_causes_no_message(job):
    def restart():
        job.redis.kill()
        job.redis.start()

    assert job.run_while(restart, "--journal_required") == 0
    assert job.texts == ALL
    assert not [line for line in job.said if "journal" in line.lower()]
    asked = len(job.server.requests)
    assert asked == ROWS
    assert job.run("--journal_required") == 0
    assert len(job.server.requests) == asked


def test_a_missing_server_that_is_required_is_reported_before_the_first_request(job):
    job.redis.kill()
    assert job.run("--journal_required", redis_tries=0) == 2
    assert "--journal: Redis at" in job.said[-1]
    assert job.server.requests == []
    job.redis.start()


def test_a_password_on_the_command_line_is_refused_in_one_line_that_does_not_repeat_it(job):
    assert job.run("--journal", "redis://:hunter2@127.0.0.1/0") == 2
    (said,) = job.said
    assert "?password_env=NAME" in said
    assert "hunter2" not in said
