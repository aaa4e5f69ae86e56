"""Tables in and out: read from, checked against and loaded into an emulated BigQuery."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest
from fake_dataflow import Bucket, FakeDataflow
from fake_server import FakeServer

for module, package in {
    "bqemulator": "bqemulator",
    "duckdb_extensions": "duckdb-extensions",
    "gcp_storage_emulator": "gcp-storage-emulator",
}.items():
    if find_spec(module) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)
pytest.importorskip("google.cloud.bigquery", reason="apache-beam[gcp] is not installed")

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SECRET = "sk-planted"
PROMPTS = [
    {"name": "id", "type": "STRING"},
    {"name": "prompt", "type": "STRING"},
    {"name": "messages", "type": "STRING"},
    {"name": "max_tokens", "type": "INTEGER"},
    {"name": "seen", "type": "TIMESTAMP"},
]
ROWS = [
    {"id": "a", "prompt": "one two", "max_tokens": 9, "seen": "2026-01-02T03:04:05Z"},
    {"id": "b", "messages": '[{"role": "user", "content": "three"}]'},
    {"id": "c"},
    {"prompt": "no id"},
    {"id": "a", "prompt": "again"},
]


class BigQuery:
    """The emulator at `host`, over its REST interface."""

    def __init__(self, host):
        self.host = host

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        place = f"{self.host}/bigquery/v2/projects/my-project/{path}"
        headers = {"content-type": "application/json"}
        with urlopen(Request(place, data, headers, method=method)) as answer:
            return json.loads(answer.read() or b"{}")

    def make_table(self, name, fields, rows=()):
        reference = {"projectId": "my-project", "datasetId": "d", "tableId": name}
        self.call(
            "POST",
            "datasets/d/tables",
            {"tableReference": reference, "schema": {"fields": list(fields)}},
        )
        inserted = [{"json": row} for row in rows]
        if inserted:
            self.call("POST", f"datasets/d/tables/{name}/insertAll", {"rows": inserted})

    def rows(self, name):
        columns = [
            field["name"]
            for field in self.call("GET", f"datasets/d/tables/{name}")["schema"]["fields"]
        ]
        rows = self.call("GET", f"datasets/d/tables/{name}/data").get("rows", [])
        return [dict(zip(columns, (cell["v"] for cell in row["f"]), strict=True)) for row in rows]

    def __contains__(self, name):
        try:
            return bool(self.call("GET", f"datasets/d/tables/{name}"))
        except HTTPError:
            return False


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    """A bucket and a BigQuery that loads from it."""
    folder = tmp_path_factory.mktemp("google")
    ports = [free_port() for _ in range(3)]
    storage, host = (f"http://127.0.0.1:{port}" for port in ports[:2])
    files = [sys.executable, "-c", "from gcp_storage_emulator.__main__ import main; main()"]
    files += [f"--data-dir={folder}", "start", "--host=127.0.0.1", f"--port={ports[0]}"]
    files += ["--default-bucket=bucket"]
    buckets = folder / ".cloudstorage"
    tables = [sys.executable, str(HERE / "bigquery_emulator.py"), str(ports[1]), str(ports[2])]
    tables += [str(buckets), storage]
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(files, stdout=log, stderr=log) as first,
        subprocess.Popen(tables, stdout=log, stderr=log) as second,
    ):
        try:
            yield started(BigQuery(host), Bucket(storage, "bucket"), storage, folder / "log")
        finally:
            first.terminate()
            second.terminate()


def started(tables, bucket, storage, log):
    end = time.monotonic() + 60
    while True:
        try:
            bucket.names()
            tables.call("GET", "datasets")
            break
        except OSError:
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.1)
    reference = {"projectId": "my-project", "datasetId": "d"}
    tables.call("POST", "datasets", {"datasetReference": reference})
    tables.make_table("prompts", PROMPTS, ROWS)
    tables.bucket, tables.storage = bucket, storage
    bucket.put("in/rows.jsonl", b'{"id":"a","prompt":"one two"}\n')
    return tables


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(google, *flags, program="pipelines.batch_complete"):
    """Run the program; returns the finished process."""
    command = [sys.executable, str(HERE / "without_google.py"), "submit", program]
    command += ["--model=openai/m", *flags]
    environ = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    environ |= {
        "BIGQUERY_EMULATOR_HOST": google.host,
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "PYTHONPATH": str(ROOT),
        "STORAGE_EMULATOR_HOST": google.storage,
        "FAKE_SECRET": SECRET,
    }
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )


def job(google, models, folder, *flags):
    return run(
        google,
        f"--output=gs://bucket/{folder}/out",
        f"--base_url={models.base_url}",
        "--project=my-project",
        f"--temp_location=gs://bucket/{folder}/tmp",
        "--journal=none",
        *flags,
    )


def failed(google, folder):
    return [
        orjson.loads(line)
        for name in google.bucket.names(".jsonl")
        if name.startswith(f"{folder}/out/failed-")
        for line in google.bucket.get(name).splitlines()
    ]


@pytest.fixture(scope="module")
def answered(google):
    """A job from a table into a table that was not there, run twice."""
    with FakeServer() as models:
        for _ in range(2):
            done = job(
                google,
                models,
                "both",
                "--input=bigquery:my-project:d.prompts",
                "--output_table=my-project:d.answers",
            )
            assert done.returncode == 0, done.stdout + done.stderr
        yield models


def test_rows_of_a_table_become_rows_of_a_table(answered, google):
    rows = google.rows("answers")
    # Which of two rows with one id is asked is chance: a table has no order.
    texts = Counter(row["text"] for row in rows)
    assert texts - Counter(["one two", "again"]) == Counter(["three", "no id"])
    assert len(rows) == 3
    [row] = [row for row in rows if row["id"] == "b"]
    assert row["finish_reason"] == "stop"
    assert row["completion_tokens"] == "1"
    assert float(row["ttft"]) > 0
    assert orjson.loads(row["completion"])["choices"][0]["message"]["content"] == "three"
    assert orjson.loads(row["input"])["messages"] == [{"role": "user", "content": "three"}]


def test_a_row_without_an_id_is_called_after_its_table_and_what_it_holds(answered, google):
    [row] = [row for row in google.rows("answers") if row["text"] == "no id"]
    table, _, digest = row["id"].partition(":")
    assert table == "prompts"
    assert len(digest) == 16


def test_rows_that_cannot_be_asked_are_dead_letters_in_the_folder(answered, google):
    letters = {letter["id"]: letter["message"] for letter in failed(google, "both")}
    assert letters.keys() == {"a", "c"}
    assert letters["a"].endswith("an earlier row has the id 'a'; ids must be unique")
    assert letters["c"].startswith("bigquery:my-project:d.prompts, row prompts:")
    assert letters["c"].endswith("a row must have 'prompt' or 'messages', got id")


def test_parameters_of_a_row_are_its_columns(answered):
    asked = [request.json for request in answered.requests]
    assert {body.get("max_tokens") for body in asked} <= {9, None}
    assert len(asked) == 6


def test_a_job_submitted_to_dataflow_reads_and_writes_tables_there(google):
    with FakeDataflow() as dataflow, FakeServer() as models:
        done = job(
            google,
            models,
            "remote",
            "--input=bigquery:my-project:d.prompts",
            "--output_table=my-project:d.new",
            "--runner=DataflowRunner",
            "--region=europe-west4",
            f"--dataflow_endpoint={dataflow.endpoint}",
            "--no_auth",
            "--staging_location=gs://bucket/remote/staging",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(dataflow.jobs) == 1
        assert not models.requests
    assert "new" not in google


OTHER = [{"name": "id", "type": "INTEGER"}, {"name": "text", "type": "STRING"}]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--output_table=my-project:d.other"],
            "--output_table my-project:d.other: the table has other columns",
        ),
        (
            ["--output_table=my-project:no_such.t"],
            "the dataset my-project:no_such does not exist; create it",
        ),
        (["--output_table=answers"], "expected PROJECT:DATASET.TABLE, got 'answers'"),
        (["--input=bigquery:my-project:d.none"], "the table does not exist; check its name"),
        (
            ["--input=bigquery:my-project:d.other"],
            "must have a column 'prompt', 'messages' or 'body'",
        ),
        (["--input=bigquery:prompts"], "expected PROJECT:DATASET.TABLE, got 'bigquery:prompts'"),
        (
            ["--input=bigquery:my-project:d.prompts", "--temp_location=/tmp"],
            "files in a bucket; add --temp_location gs://BUCKET/tmp",
        ),
    ],
    ids=[
        "other columns",
        "no dataset",
        "no table's name",
        "no table",
        "no prompt",
        "no name",
        "no bucket",
    ],
)
def test_a_table_that_cannot_be_used_is_one_line_and_nothing_is_asked(google, flags, words):
    if "other" not in google:
        google.make_table("other", OTHER)
    if not any(flag.startswith("--input=") for flag in flags):
        flags = ["--input=gs://bucket/in/rows.jsonl", *flags]
    with FakeServer() as models:
        done = job(google, models, "wrong", *flags)
        assert not models.requests
    assert done.returncode == 2, done.stderr
    assert words in done.stderr.strip().splitlines()[-1]
    assert google.rows("other") == []


ANSWERED = [
    {"name": "id", "type": "STRING"},
    {"name": "text", "type": "STRING"},
    {"name": "attempts", "type": "INTEGER"},
    {"name": "ttft", "type": "FLOAT"},
]
FAILED = [{"name": "id", "type": "STRING"}, {"name": "message", "type": "STRING"}]


def test_the_streaming_program_writes_answers_and_failures_to_tables(google, tmp_path):
    google.make_table("answered", ANSWERED)
    google.make_table("failed", FAILED)
    rows = [{"id": "a", "prompt": "one two"}, {"id": "b"}]
    program = "import google.auth, google.auth.credentials as c\n"
    program += "google.auth.default = lambda *a, **k: (c.AnonymousCredentials(), 'my-project')\n"
    program += "import sys\nfrom pipelines.stream_complete import main\nmain(sys.argv[1:])\n"
    with FakeServer() as models:
        flags = ["--source=stdin", "--model=openai/m", f"--base_url={models.base_url}"]
        flags += [
            f"--deltas_to=jsonl:{tmp_path}",
            "--completions_to=bigquery:my-project:d.answered",
        ]
        flags += ["--failed_to=bigquery:my-project:d.failed"]
        environ = {"BIGQUERY_EMULATOR_HOST": google.host, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program, *flags],
            input=b"".join(orjson.dumps(row) + b"\n" for row in rows),
            env={**os.environ, **environ, "OPENAI_API_KEY": "k"},
            capture_output=True,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert [(row["id"], row["text"]) for row in google.rows("answered")] == [("a", "one two")]
    [failed] = google.rows("failed")
    assert failed["id"] == "b"
    assert "prompt" in failed["message"]


@pytest.mark.parametrize(
    ("runner", "table", "words"),
    [
        (None, "my-project:d.none", "the table my-project.d.none does not exist; create it"),
        ("DataflowRunner", "my-project:d.other", "does not accept rows of Completion (id is INT"),
    ],
    ids=["no table, here", "other columns, on Dataflow"],
)
def test_a_table_that_a_stream_cannot_write_to_is_one_line_and_no_job(google, table, words, runner):
    if "other" not in google:
        google.make_table("other", OTHER)
    flags = [f"--completions_to=bigquery:{table}", "--deltas_to=redis://10.255.255.1/0"]
    if runner is None:
        flags = [*flags[:1], "--source=stdin", "--deltas_to=stdout"]
    else:
        flags += ["--source=kafka:10.255.255.1:9092/prompts", f"--runner={runner}"]
        flags += ["--region=europe-west4", "--project=my-project"]
        flags += ["--temp_location=gs://bucket/wrong/tmp", "--no_auth"]
    with FakeServer() as models, FakeDataflow() as dataflow:
        flags += [f"--base_url={models.base_url}", f"--dataflow_endpoint={dataflow.endpoint}"]
        done = run(google, *flags, program="pipelines.stream_complete")
        assert not models.requests
        assert not dataflow.jobs
    assert done.returncode == 2, done.stderr
    assert words in done.stderr.strip().splitlines()[-1]


def test_beams_own_sink_writes_completions_deltas_and_dead_letters(google):
    with FakeServer() as models:
        flags = ["--project=my-project", "--temp_location=gs://bucket/own/tmp"]
        done = run(google, models.base_url, *flags, program=str(HERE / "rows_to_bigquery.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(row["id"], row["text"]) for row in google.rows("own_completions")] == [
        ("a", "one two")
    ]
    [letter] = google.rows("own_dead_letters")
    assert (letter["id"], letter["request"], letter["retryable"]) == ("b", "no JSON", "false")
    deltas = sorted(google.rows("own_deltas"), key=lambda row: int(row["seq"]))
    assert "".join(row["text"] for row in deltas) == "one two"
    assert [row["final"] for row in deltas][-1] == "true"
