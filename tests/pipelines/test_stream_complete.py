"""The streaming program: from a source to the sinks, live, and to a good end."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import apache_beam as beam
import orjson
import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from fake_server import Wait, api_error, chat_events, chat_stream, stream

from pipelines import errors
from pipelines.cli import parser as cli_parser
from pipelines.sources.acknowledgements import JobAcknowledger
from pipelines.stream_complete import main, parser
from pipelines.stream_job import build
from ritellm.chunks.submission import prompt_of

ROOT = Path(__file__).parents[2]


def ended(argv, capfd):
    """Run the program in this process; return its exit status, and its output."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    captured = capfd.readouterr()
    rows = [orjson.loads(line) for line in captured.out.splitlines()]
    return end.value.code, rows, captured.err


@pytest.fixture
def job(fake_server, capfd, monkeypatch, tmp_path):
    """Return a function that runs the program on lines of standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")

    def run(*lines, flags=()):
        raw = b"".join(line.encode() + b"\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        return ended([*common(fake_server), "--source=stdin", *flags], capfd)

    return run


def common(server):
    return ["--model=openai/m", f"--base_url={server.base_url}"]


def read(folder, name):
    lines = [line for path in folder.glob(f"{name}-*") for line in path.read_text().splitlines()]
    return [orjson.loads(line) for line in lines]


def in_time(condition, seconds=30):
    """Wait for another process."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_each_line_of_standard_input_gets_deltas(job):
    status, rows, _ = job("hello there", '{"prompt": "you too", "id": "mine"}')
    assert status == 0
    assert {row["kind"] for row in rows} == {"delta"}
    texts = {}
    for row in rows:
        texts[row["id"]] = texts.get(row["id"], "") + row["text"]
    assert sorted(texts.values()) == ["hello there", "you too"]
    assert "mine" in texts
    assert [row["seq"] for row in rows if row["id"] == "mine"] == list(range(6))
    final = [row for row in rows if row["final"]]
    assert {row["input"]["prompt"] for row in final} == {"hello there", "you too"}


def test_completions_and_failures_go_to_their_sinks(job, fake_server, tmp_path):
    def script(request):
        text = request.json["messages"][-1]["content"]
        if text == "bad":
            return api_error(400, "invalid_request_error", "x", "No.")
        return stream(*chat_events(text))

    fake_server.script = script
    status, rows, _ = job(
        *("good", "bad", '{"no": "prompt"}', "x" * 2000),
        flags=["--completions_to=jsonl:out", "--max_message_bytes=1000"],
    )
    assert status == 0
    assert [row["text"] for row in read(tmp_path / "out", "completions")] == ["good"]
    failed = {row["error_type"]: row for row in read(tmp_path / "out", "failed")}
    assert failed.keys() == {"BadRequestError", "RowError", "MessageTooLargeError"}
    assert "stdin, line 3: a row must have 'prompt'" in failed["RowError"]["message"]
    assert "at most 1,000" in failed["MessageTooLargeError"]["message"]
    assert {row["kind"] for row in rows} == {"delta"}


def test_answers_are_checked_and_deltas_of_a_further_request_are_another_attempt(
    job, fake_server, tmp_path
):
    pytest.importorskip("jsonschema_rs")
    fake_server.enqueue(chat_stream('{"label": "ugly"}'), chat_stream('{"label": "good"}'))
    flags = ["--answer_columns=label:enum(good,bad)", "--completions_to=jsonl:out"]
    status, rows, _ = job('{"prompt": "x", "id": "a"}', flags=flags)
    assert status == 0
    [row] = read(tmp_path / "out", "completions")
    assert (row["label"], row["reasks"], row["answer_mode"]) == ("good", 1, "json_schema")
    assert {each["submission"] for each in rows} == {row["submission"]}
    assert {each["attempt"] for each in rows} == {1, 2}
    assert "".join(each["text"] for each in rows if each["attempt"] == 2) == '{"label": "good"}'
    [final] = [each for each in rows if each["final"]]
    assert (final["attempt"], final["outcome"]["answer"]["reasks"]) == (2, 1)


def test_a_message_without_a_valid_answer_is_a_failure(job, fake_server, tmp_path):
    pytest.importorskip("jsonschema_rs")
    fake_server.enqueue(chat_stream('{"label": "ugly"}'))
    flags = ["--answer_columns=label:enum(good,bad)", "--reasks=0", "--failed_to=jsonl:out"]
    status, rows, _ = job("x", flags=flags)
    assert status == 0
    assert not any(each["final"] for each in rows)
    [letter] = read(tmp_path / "out", "failed")
    assert letter["error_type"] == "AnswerInvalid"
    assert '$.label (enum): "ugly" is not one of "good" or "bad"' in letter["message"]


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--answer_columns=a:strr", "at character 3"),
        ("--answer_columns=text:str", "'text' has the name of a column of each row"),
        ("--validator=math:sqrt", "need --answer_columns or --answer_schema"),
    ],
)
def test_wrong_flags_about_answers_are_refused(job, fake_server, flag, reason):
    status, _, err = job("x", flags=[flag])
    assert status == 2
    assert reason in err
    assert not fake_server.requests


def test_deltas_are_published_while_the_program_waits_for_its_next_prompt(fake_server, tmp_path):
    go_on = threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(*events[:2], Wait(go_on), *events[2:])
    with running(fake_server, ["--source=stdin"], tmp_path) as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        lines = iter(process.stdout.readline, b"")
        assert any(orjson.loads(line)["text"] == "one " for line in lines)
        go_on.set()
        process.stdin.close()
        assert any(orjson.loads(line)["final"] for line in lines)
        assert process.wait(30) == 0


def running(server, flags, folder):
    """Return the program as a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-none"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.stream_complete", *common(server), *flags],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_given_up_sink_ends_an_idle_job(fake_server, tmp_path):
    go_on = threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(*events[:2], Wait(go_on), *events[2:])
    out = tmp_path / "out"
    flags = ["--source=stdin", f"--deltas_to=jsonl:{out}", "--sink_patience=1"]
    with running(fake_server, flags, tmp_path) as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()  # and no end of it
        in_time(lambda: read(out, "deltas"))
        shutil.rmtree(out)
        out.write_text("not a folder any more")
        go_on.set()
        assert process.wait(30) == 1
        assert b"cannot write" in process.stderr.read().splitlines()[-1]
        process.stdin.close()
        process.stdout.close()


def test_a_signal_stops_receiving_and_lets_completions_finish(fake_server, tmp_path):
    asked, go_on = threading.Event(), threading.Event()
    events = chat_events("one two")

    def script(request):
        asked.set()
        return stream(*events[:2], Wait(go_on), *events[2:])

    fake_server.script = script
    into, out = tmp_path / "in", tmp_path / "out"
    into.mkdir()
    (into / "rows.jsonl").write_text('{"prompt": "x", "id": "a"}\n')
    flags = [f"--source=dir:{into}", f"--deltas_to=jsonl:{out}"]
    with running(fake_server, flags, tmp_path) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert b"stopping" in process.stderr.readline()
        (into / "late.jsonl").write_text('{"prompt": "late"}\n')
        go_on.set()
        assert process.wait(30) == 0
    assert [row["final"] for row in read(out, "deltas")].count(True) == 1
    assert [path.name for path in (into / "done").iterdir()] == ["rows.jsonl"]
    assert (into / "late.jsonl").exists()
    assert len(fake_server.requests) == 1


def test_completions_that_outlast_the_drain_are_left_to_the_next_run(fake_server, tmp_path):
    asked, never = threading.Event(), threading.Event()
    events = chat_events("one two")

    def script(request):
        asked.set()
        return stream(*events[:2], Wait(never), *events[2:])

    fake_server.script = script
    into, out = tmp_path / "in", tmp_path / "out"
    into.mkdir()
    (into / "rows.jsonl").write_text('{"prompt": "x", "id": "a"}\n')
    flags = [f"--source=dir:{into}", f"--deltas_to=jsonl:{out}", "--drain_seconds=1"]
    with running(fake_server, flags, tmp_path) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"1 messages have no outcome yet" in process.stderr.read()
    never.set()
    assert (into / "rows.jsonl").exists()
    with running(fake_server, flags, tmp_path) as process:
        in_time(lambda: (into / "done" / "rows.jsonl").exists())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    rows = read(out, "deltas")
    first, second = sorted({row["submission"] for row in rows})
    assert [row["submission"] for row in rows if row["final"]] == [second]
    assert {row["attempt"] for row in rows} == {1}
    assert prompt_of(first) == prompt_of(second)


def test_a_redelivered_message_is_paid_once_and_its_deltas_have_their_own_keys(
    job, fake_server, capfd
):
    told = {}
    for _ in range(3):
        _, rows, _ = job('{"prompt": "x", "id": "a"}', flags=["--journal=sqlite:j.sqlite"])
        assert "".join(row["text"] for row in rows) == "x"
        for row in rows:
            key = row["submission"], row["attempt"], row["seq"]
            assert told.setdefault(key, row["chunk"]) == row["chunk"]
    assert len(fake_server.requests) == 1
    assert len({submission for submission, *_ in told}) == 1, "a replay is not another text"


def test_the_job_is_one_stage_so_that_no_step_waits_for_the_end_of_the_source():
    known_args, options = cli_parser.parse(parser(), ["--source=stdin", "--completions_to=stdout"])
    known_args.output = "."
    p = beam.Pipeline(options=options.beam)
    build(p, known_args, JobAcknowledger(frozenset()))
    _, stages = FnApiRunner().create_stages(p.to_runner_api())
    assert len(stages) == 1


WRONG = {
    "standard input for a job elsewhere": [
        *("--source=stdin", "--runner=PortableRunner", "--deltas_to=redis://127.0.0.1:1"),
        "--job_endpoint=127.0.0.1:1",
    ],
    "a terminal for a job elsewhere": [
        *("--source=kafka:b:1/t", "--runner=PortableRunner", "--job_endpoint=127.0.0.1:1"),
    ],
    "workers in processes of their own": [
        *("--source=stdin", "--direct_running_mode=multi_processing"),
    ],
    "a server that is not there": ["--source=stdin", "--deltas_to=redis://127.0.0.1:1"],
    "a topic without brokers": ["--source=kafka:topic"],
    "a subscription without a project": ["--source=pubsub:mine"],
    "settings that are no file": ["--source=kafka:b:1/t", "--kafka_config=nothing"],
    "a password in an address": ["--source=stdin", "--deltas_to=redis://:hunter2@127.0.0.1:1"],
    "no such source": ["--source=nope:x"],
    "a source without a place": ["--source=dir:"],
    "no such sink": ["--source=stdin", "--deltas_to=nope:x"],
    "a table for deltas": ["--source=stdin", "--deltas_to=bigquery:p:d.t"],
    "a folder that cannot be": ["--source=stdin", "--deltas_to=jsonl:/proc/nothing"],
}


@pytest.mark.parametrize("flags", WRONG.values(), ids=WRONG.keys())
def test_a_command_line_that_cannot_work_is_one_line_before_the_first_request(
    flags, fake_server, monkeypatch, capfd, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    status, rows, err = ended([*common(fake_server), *flags], capfd)
    assert (status, rows) == (2, [])
    assert len(err.splitlines()) == 1
    assert "hunter2" not in err
    assert not fake_server.requests


# --- A job that runs elsewhere -------------------------------------------------------------------


def elsewhere(*flags):
    """Return the pipeline of a job with these flags, as it is submitted."""
    known_args = parser().parse_args(
        ["--source=pubsub:projects/my-project/subscriptions/s", *flags]
    )
    known_args.max_in_flight, known_args.journal, known_args.output = 4, "none", "."
    p = beam.Pipeline(runner="FnApiRunner")
    build(p, known_args, None)
    return p.to_runner_api()


@pytest.fixture
def kafka_login(tmp_path):
    """A file with a login."""
    file = tmp_path / "kafka.properties"
    file.write_text("security.protocol=SASL_SSL\nsasl.username=me\nsasl.password=hunter2\n")
    return file


def test_the_worker_reads_the_login_of_a_sink_and_the_job_does_not_contain_it(kafka_login):
    proto = elsewhere("--deltas_to=kafka:b:1/t", f"--kafka_config={kafka_login}")
    assert any(str(kafka_login).encode() in raw for raw in unpickled(proto))
    assert not any(b"hunter2" in raw for raw in unpickled(proto))


def unpickled(proto):
    """Yield the pickled parts of the steps that publish, as searchable bytes."""
    for step in proto.components.transforms.values():
        if re.fullmatch(r"Publish\w+/Publish", step.unique_name):
            fn = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).do_fn
            yield pickle.dumps(pickler.loads(fn.payload)[0])


def test_a_source_whose_password_would_be_in_the_job_is_refused(kafka_login):
    flags = ["--source=kafka:b:1/t", "--deltas_to=kafka:b:1/t", f"--kafka_config={kafka_login}"]
    with pytest.raises(errors.UsageError, match=r"would store sasl\.password in the job"):
        elsewhere(*flags)


def test_an_invalid_project_is_reported_as_the_user_wrote_it():
    with pytest.raises(
        errors.UsageError, match="--source pubsub:projects/p/subscriptions/s: Invalid"
    ):
        elsewhere("--source=pubsub:projects/p/subscriptions/s")


def test_a_password_is_needed_on_the_workers_only(monkeypatch):
    monkeypatch.delenv("THERE", raising=False)
    assert elsewhere("--deltas_to=redis://10.0.0.7/0?per_id=true&password_env=THERE")
