"""`results` on a folder in a bucket: rows of its shards and of its journal, with an emulator."""

from __future__ import annotations

import threading

import orjson
import pytest
from fake_server import FakeServer, Wait, chat_events, stream
from submitting import run, wait_for


@pytest.mark.parametrize("seconds", ["0.2", "600"], ids=["shards", "journal"])
def test_the_rows_of_a_job_in_a_bucket_are_seen_while_it_runs_and_at_its_end(
    google, tmp_path, seconds
):
    late = threading.Event()
    first, *rest = chat_events("an answer")
    folder = f"gs://bucket/results-{seconds.replace('.', '-')}"
    lines = [{"prompt": "early", "topic": "a"}, {"id": "b", "prompt": "late", "topic": "b"}]
    (tmp_path / "in.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in lines))

    def script(request):
        return stream(first, *([Wait(late)] if b'"late"' in request.body else []), *rest)

    def results(*flags):
        done = run(google, "submit", "pipelines.results", folder, *flags)
        return [orjson.loads(line) for line in done.stdout.splitlines()], done

    with FakeServer(script) as server:
        argv = ["submit", "pipelines.batch_complete", f"--input={tmp_path}/in.jsonl"]
        argv += [f"--output={folder}", "--model=openai/m", f"--base_url={server.base_url}"]
        argv += [f"--shard_seconds={seconds}"]
        ended = []
        job = threading.Thread(target=lambda: ended.append(run(google, *argv, OPENAI_API_KEY="k")))
        job.start()
        try:
            begin = folder.removeprefix("gs://bucket/")
            begin += "/completions-" if seconds == "0.2" else "/journal/part-"
            wait_for(lambda: [name for name in google.bucket.names() if name.startswith(begin)])
            rows, done = results()
            assert [(row["id"], row["input"]) for row in rows] == [("in.jsonl:1", lines[0])]
            assert "the job has not ended" in done.stderr
            followed = []
            follower = threading.Thread(target=lambda: followed.append(results("--follow")))
            follower.start()
        finally:
            late.set()
            job.join()
    follower.join()
    assert ended[0].returncode == 0, ended[0].said
    rows, done = followed[0]
    assert done.returncode == 0, done.said
    assert sorted(row["id"] for row in rows) == ["b", "in.jsonl:1"]
    rows, done = results()
    assert (sorted(row["id"] for row in rows), done.stderr) == (["b", "in.jsonl:1"], "")
