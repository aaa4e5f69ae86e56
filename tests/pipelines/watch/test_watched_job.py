"""`--watch`: the page of a job that runs, with the texts as they grow."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import orjson
import pytest
from batch_job import ROOT, Job
from fake_server import Wait, chat_events, stream
from started_programs import started

from pipelines.watch import address


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    made = Job(fake_server, tmp_path, capsys)
    return made.write({"id": "a", "prompt": "a question"}, {"id": "b", "prompt": "another"})


def url_in(process):
    for line in process.stderr:
        if found := re.search(r"watch the job at (http://127\.0\.0\.1:\d+/\S+/)$", line):
            return urlsplit(found[1])
    raise AssertionError("the job has printed no address")


def events(url):
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", f"{url.path}events")
    name = None
    for line in connection.getresponse():
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, orjson.loads(line[6:])


@pytest.mark.parametrize("flags", [[], ["--emit_deltas"]])
def test_texts_grow_on_the_page_until_the_job_ends(job, flags):
    go = threading.Event()
    first, *rest = chat_events(["one ", "two ", "three"])
    job.server.script = lambda _: stream(first, rest[0], Wait(go), *rest[1:])
    command = [sys.executable, "-m", "pipelines.batch_complete"]
    command += [*job.argv("in.jsonl", *flags), "--watch"]
    with started(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            url = url_in(process)
            assert address.find(str(job.out)) == url.geturl()
            texts, labels, numbers, ended = {}, {}, [], False
            for name, data in events(url):
                if name == "numbers":
                    numbers.append(data)
                elif name == "streams":
                    for place, (text, label, _) in data.items():
                        if label is not None:
                            texts[place], labels[place] = "", label
                        texts[place] += text
                ended = ended or name == "end"
                if [*texts.values()] == ["one ", "one "]:
                    go.set()
        finally:
            go.set()
            process.stderr.read()
    assert process.returncode == 0
    assert ended
    assert sorted(labels.values()) == ["a question", "another"]
    assert [*texts.values()] == ["one two three", "one two three"]
    state = numbers[0]["state"]
    assert (state["running"], state["total"], numbers[0]["report"]["rows"]) == (True, 2, 0)
    assert numbers[-1]["report"]["completed"] == 2
    assert numbers[-1]["state"]["running"] is False
    assert not (job.out / address.ADDRESS).exists()


def test_a_job_in_other_processes_is_refused_with_the_program_that_helps(job):
    status = job.run("--watch", "--direct_running_mode", "multi_processing")
    assert (status, job.printed.err) == (2, job.printed.err)
    assert "python -m pipelines.watch FOLDER" in job.printed.err


@pytest.mark.parametrize("port", ["-1", "70000", "x", "1.5"])
def test_a_port_that_is_none_is_refused(job, port):
    assert job.run(f"--watch={port}") == 2
    assert "must be a port from 0 to 65535" in job.printed.err
