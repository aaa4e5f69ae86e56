"""Shards in a bucket: a job of this machine and its reader, against an emulator of the storage."""

from __future__ import annotations

import hashlib
import re
import threading

import orjson
import pytest
from fake_server import FakeServer, Wait, chat_events, chat_stream, stream
from submitting import run, wait_for

RUN = r"\d{8}T\d{9}-[0-9a-f]{6}"
READER = """
import sys, orjson, pipelines.outputs.shards.manifest as m
found = m.runs(sys.argv[1])
found = [[r.id, r.complete, [[s.name, s.rows, s.sha256] for s in r.shards]] for r in found]
print(orjson.dumps(found).decode())
"""


@pytest.fixture
def job(google, tmp_path, request):
    """Run the program with output in a folder of the bucket."""
    (tmp_path / "in.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "y"}\n')
    (tmp_path / "reader.py").write_text(READER)
    place = re.sub(r"\W", "-", request.node.name)
    folder = f"gs://bucket/{place}"
    with FakeServer(lambda _: chat_stream("fine")) as server:

        def start(*flags):
            argv = ["submit", "pipelines.batch_complete", f"--input={tmp_path}/in.jsonl"]
            argv += [f"--output={folder}", "--model=openai/m", f"--base_url={server.base_url}"]
            return run(google, *argv, "--journal=none", *flags, OPENAI_API_KEY="k")

        def read():
            done = run(google, "submit", str(tmp_path / "reader.py"), folder)
            assert done.returncode == 0, done.said
            return orjson.loads(done.stdout)

        start.read, start.server = read, server
        start.names = lambda: [
            name.partition("/")[2] for name in google.bucket.names() if name.startswith(f"{place}/")
        ]
        start.get = lambda name: google.bucket.get(f"{place}/{name}")
        yield start


FLAGS = {
    "at-once": ["--shard_rows=1"],
    "at-the-end": ["--shard_rows=1", "--direct_runner_bundle_repeat=2"],
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_each_row_of_a_job_is_in_one_listed_object(job, flags):
    for _ in range(2):  # the second run replaces the first
        done = job(*flags)
        assert done.returncode == 0, done.said
        names = sorted(job.names())
        success, manifest, *shards, page, report = names
        assert (success, page, report) == ("_SUCCESS", "report.html", "report.json")
        assert re.fullmatch(rf"_manifest/{RUN}\.jsonl", manifest)
        data = [job.get(name) for name in shards]
        assert sorted(orjson.loads(each)["id"] for each in data) == ["a", "b"]
        sums = [hashlib.sha256(each).hexdigest() for each in data]
        listed = [[name, 1, digest] for name, digest in zip(shards, sums, strict=True)]
        assert job.read() == [[orjson.loads(job.get(report))["run"], True, listed]]
    refused = job("--model=openai/other")
    assert refused.returncode == 2
    assert "has 2 completions of another job" in refused.stderr


def test_a_reader_of_a_bucket_sees_rows_while_the_job_runs(job):
    late = threading.Event()
    first, *rest = chat_events("late")
    job.server.script = lambda request: (
        stream(first, Wait(late), *rest) if b'"y"' in request.body else chat_stream("early")
    )
    ended = []
    running = threading.Thread(target=lambda: ended.append(job("--shard_seconds=0.2")))
    running.start()
    try:
        wait_for(lambda: [name for name in job.names() if name.startswith("completions-")])
        [[_, complete, [[name, rows, _]]]] = job.read()
        assert (complete, rows) == (False, 1)
        assert orjson.loads(job.get(name))["text"] == "early"
    finally:
        late.set()
        running.join()
    assert ended[0].returncode == 0, ended[0].said
    assert sum(rows for _, rows, _ in job.read()[0][2]) == 2
