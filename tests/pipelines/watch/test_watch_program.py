"""`python -m pipelines.watch`: the page of a job that runs, was killed, or is done."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import orjson
import pytest
from batch_job import ROOT, Job
from fake_server import Wait, chat_events, chat_stream, stream
from started_programs import started

from pipelines.watch import address


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    made = Job(fake_server, tmp_path, capsys)
    return made.write({"id": "a", "prompt": "first"}, {"id": "b", "prompt": "second"})


@contextmanager
def program(*command):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(
        [sys.executable, "-m", *map(str, command)], text=True, cwd=ROOT, **pipes
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def watching(folder):
    with program("pipelines.watch", folder, "--no_browser") as process:
        url = process.stdout.readline().strip()
        yield process, urlsplit(url)


def page_at(url):
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", url.path)
    with connection.getresponse() as response:
        text = response.read()
    connection.close()
    return text, orjson.loads(re.search(rb'id="data">(.*?)</script>', text, re.DOTALL)[1])


def numbers_at(url):
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", f"{url.path}events")
    name = None
    with connection.getresponse() as response:
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: ") and name == "numbers":
                yield orjson.loads(line[6:])
    connection.close()


def held_after_the_first(job, go):
    def script(request):
        if b"first" in request.body:
            return chat_stream("the first answer")
        return stream(*chat_events("x")[:1], Wait(go))

    job.server.script = script


def test_the_page_of_a_job_that_is_done_is_its_report(job):
    assert job.run() == 0
    with watching(job.out) as (process, url):
        text, data = page_at(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert text == (job.out / "report.html").read_bytes()
    assert data["report"]["completed"] == 2


def test_a_job_without_watch_shows_the_rows_that_are_written(job):
    go = threading.Event()
    held_after_the_first(job, go)
    with program("pipelines.batch_complete", *job.argv("in.jsonl", "--max_in_flight", "1")) as run:
        job.server.wait_until(lambda: len(job.server.requests) == 2, 60)
        with watching(job.out) as (_, url):
            seen = next(n for n in numbers_at(url) if n["report"]["completed"] == 1)
        go.set()
        run.kill()
    assert seen["state"]["running"] is True
    assert "runs without --watch" in seen["state"]["missing"]
    assert seen["report"]["model"] == "openai/m"


def test_a_job_that_was_killed_shows_its_rows_and_that_it_stopped(job):
    go = threading.Event()
    held_after_the_first(job, go)
    flags = ("--max_in_flight", "1", "--watch")
    with program("pipelines.batch_complete", *job.argv("in.jsonl", *flags)) as run:
        job.server.wait_until(lambda: len(job.server.requests) == 2, 60)
        run.kill()
        run.wait(60)
    go.set()
    assert address.find(str(job.out)) is not None  # it leads nowhere now
    with watching(job.out) as (_, url):
        process_said = next(n for n in numbers_at(url) if n["report"]["completed"] == 1)
    assert process_said["state"]["stopped"] is True


def test_a_job_with_watch_is_opened_where_it_serves_its_page(job):
    go = threading.Event()
    held_after_the_first(job, go)
    with program("pipelines.batch_complete", *job.argv("in.jsonl", "--watch")) as run:
        printed = re.search(r"http://\S+", run.stderr.readline())[0]
        with watching(job.out) as (process, url):
            assert url.geturl() == printed
            assert process.wait(60) == 0
        go.set()
        run.kill()


def test_a_folder_without_a_job_is_a_wrong_use(job, tmp_path):
    with program("pipelines.watch", tmp_path, "--no_browser") as process:
        assert process.wait(60) == 2
        assert process.stderr.read().startswith("watch: ")
