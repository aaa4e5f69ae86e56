"""The program as its user sees it: argv in; files, words and an exit status out."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest
from batch_job import Job
from fake_server import FakeServer, Stall, api_error, chat_events, stream
from started_programs import started

from pipelines.batch_complete import main
from ritellm.rate_limits.pace import Brake
from transforms.budget.accounts import Caps
from transforms.budget.ledger import Ledger
from transforms.journal import open_journal
from transforms.metrics import Tally
from transforms.progress.brakes import in_words
from transforms.progress.line import ProgressLine, duration

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on lines of input; returns its outcome."""
    return Job(fake_server, tmp_path, capsys)


def test_every_row_has_one_outcome_that_carries_its_input(job):
    job.write({"id": "a", "prompt": "one two", "topic": "x"}, {"prompt": "three"})
    assert job.run() == 0
    rows = job.rows("completions")
    assert rows.keys() == {"a", "in.jsonl:2"}
    assert rows["a"]["text"] == "one two"
    assert rows["a"]["input"] == {"id": "a", "prompt": "one two", "topic": "x"}
    assert rows["a"]["finish_reason"] == "stop"
    assert rows["a"]["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert rows["a"]["attempts"] == 1
    assert rows["a"]["timing"]["ttft"] > 0
    assert rows["a"]["completion"]["choices"][0]["message"]["content"] == "one two"
    assert not job.rows("failed")


def test_bad_rows_become_dead_letters_and_the_job_continues(job):
    job.write({"id": "a", "prompt": "x"}, "nonsense", {"id": "b"}, {"id": "a", "prompt": "again"})
    assert job.run() == 0
    failed = job.rows("failed")
    path = job.folder / "in.jsonl"
    assert failed["in.jsonl:2"]["message"].startswith(f"{path}, line 2: not JSON")
    assert failed["in.jsonl:2"]["input"] == "nonsense"
    assert failed["b"]["message"].startswith(f"{path}, line 3: a row must have 'prompt'")
    assert failed["a"]["error_type"] == "DuplicateIdError"
    assert (
        failed["a"]["message"]
        == f"{path}, line 4: an earlier row has the id 'a'; ids must be unique"
    )
    assert job.rows("completions")["a"]["text"] == "x"
    assert len(job.server.requests) == 1


def test_a_refused_row_has_all_known_facts(job):
    job.server.enqueue(api_error(422, "bad", "odd_code", "Cannot."))
    job.write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"})
    assert job.run("--max_in_flight", "1") == 0
    assert job.rows("failed")["a"] == {
        "id": "a",
        "error_type": "UnprocessableEntityError",
        "message": "openai/m: Cannot.",
        "status_code": 422,
        "retryable": False,
        "attempts": 1,
        "partial_text": "",
        "usage": None,
        "cost_usd": None,
        "wasted_tokens": 0,
        "wasted_cost_usd": 0.0,
        "waste_estimated": False,
        "timing": job.rows("failed")["a"]["timing"],
        "input": {"id": "a", "prompt": "x"},
    }


def test_failed_rows_can_be_sent_again(job):
    job.server.enqueue(api_error(400))
    job.write({"id": "a", "prompt": "second try", "topic": "x"})
    assert job.run() == 1
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    assert again.run(input="out/failed-*.jsonl") == 0
    assert again.rows("completions")["a"]["text"] == "second try"
    assert again.rows("completions")["a"]["input"]["topic"] == "x"


def test_the_report_adds_up(job):
    job.write({"prompt": "one two"}, {"prompt": "three"}, "nonsense")
    job.run()
    report = job.report
    assert (report["rows"], report["completed"], report["failed"]) == (3, 2, 1)
    assert report["errors"] == {"RowError": 1}
    assert report["finish_reasons"] == {"stop": 2}
    assert report["tokens"]["completion_tokens"] == 3
    assert report["attempts"] == 2
    assert report["model"] == "openai/m"
    assert report["ttft"]["p95"] >= report["ttft"]["p50"] > 0


def test_deltas_are_written_with_emit_deltas(job):
    job.write({"id": "a", "prompt": "one two"})
    job.run("--emit_deltas")
    lines = [
        orjson.loads(line)
        for file in job.out.glob("deltas-*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    assert "".join(line["text"] for line in lines) == "one two"
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]


def test_parameters_reach_the_provider(job, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-1")
    job.write({"prompt": "x"})
    job.run("--max_tokens", "9", "--temperature", "0", "--api_key_env", "MY_KEY")
    request = job.server.requests[0]
    assert request.json["max_tokens"] == 9
    assert request.json["temperature"] == 0
    assert request.headers["authorization"] == "Bearer sk-1"


def test_globs_gzip_boms_and_odd_line_ends_are_read(job):
    (job.folder / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt":"with bom"}\r\n\r\n')
    (job.folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"prompt":"zipped"}'))
    line = '{"id":"sep","prompt":"a\u2028b"}\n'
    (job.folder / "sub").mkdir()
    (job.folder / "sub" / "a.jsonl").write_bytes(line.encode())
    job.run(input="**.jsonl*")
    texts = {id: row["input"]["prompt"] for id, row in job.rows("completions").items()}
    assert texts == {"a.jsonl:1": "with bom", "b.jsonl.gz:1": "zipped", "sep": "a\u2028b"}


def test_an_empty_file_is_an_empty_job(job):
    (job.folder / "in.jsonl").write_bytes(b"")
    assert job.run() == 0
    assert job.report["rows"] == 0
    assert "0 rows" in job.printed.out


def test_a_clock_set_back_during_the_job_loses_no_output(job, monkeypatch):
    job.write({"id": "a", "prompt": "one"})
    assert job.run("--journal=none") == 0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)  # of which the files know nothing
    job.write({"id": "b", "prompt": "two"}, {"id": "c", "prompt": "three"})
    assert job.run("--journal=none") == 0
    assert job.rows("completions").keys() == {"b", "c"}


def test_a_second_run_replaces_the_first(job):
    job.write({"id": "a", "prompt": "x"}, "nonsense")
    job.run("--emit_deltas")
    job.write({"id": "b", "prompt": "y"})
    job.run()
    assert job.rows("completions").keys() == {"b"}
    assert not job.rows("failed")
    assert not job.rows("deltas")


def test_the_first_file_by_name_keeps_a_duplicate_id_in_any_directory_order(job):
    for number in random.Random(1).sample(range(40), 40):
        name = f"in-{number:02}.jsonl"
        job.write({"id": "same", "prompt": f"from {number}"}, name=name)
    job.run(input="in-*.jsonl")
    assert job.rows("completions")["same"]["text"] == "from 0"


def test_the_next_job_removes_the_unfinished_files_of_a_killed_job(job):
    begun = job.out / "beam-temp-completions-1234" / "half.jsonl"
    begun.parent.mkdir(parents=True)
    begun.write_text('{"id"')
    os.utime(begun.parent, (0, 0))
    job.write({"id": "a", "prompt": "x"})
    job.run()
    assert not begun.parent.exists()
    assert job.rows("completions").keys() == {"a"}


@pytest.mark.parametrize(
    "flags",
    [
        ["--direct_num_workers=4", "--direct_running_mode=multi_threading"],
        ["--direct_runner_bundle_repeat=2"],
    ],
    ids=["four threads", "bundles repeated"],
)
def test_duplicates_are_found_on_every_runner(job, flags):
    for name in "ab":
        job.write({"id": "same", "prompt": name}, {"id": name, "prompt": "x"}, name=f"{name}.jsonl")
    assert job.run(*flags, input="*.jsonl") == 0
    assert job.rows("completions").keys() == {"same", "a", "b"}
    assert job.rows("failed").keys() == {"same"}
    assert job.report["rows"] == 4


def test_it_prints_completions_totals_and_files(job):
    job.write(*({"prompt": f"question {i}"} for i in range(3)), "nonsense")
    job.run()
    out = job.printed.out
    assert "question 1" in out
    assert "4 rows: 3 completed, 1 failed" in out
    assert "1 x RowError" in out
    assert "tokens: 6 in, 6 out" in out
    assert "time to first token:" in out
    for name in (*job.report["files"], "report.json"):
        assert str(job.out / name) in out


def test_a_job_with_only_failures_fails(job):
    job.server.script = lambda request: api_error(400)
    job.write({"prompt": "x"})
    assert job.run() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--input": "{folder}/none*.jsonl"}, "matches no file"),
        ({"--input": None}, "--input"),
        ({"--output": "{folder}/in.jsonl/out"}, "cannot write to --output"),
        ({"--model": "opnai/m"}, "did you mean openai/m?"),
        ({"--model": "m"}, "write PROVIDER/m"),
        ({"--model": "openai/m", "--base_url": None}, "OPENAI_API_KEY"),
        ({"--base_url": "localhost:80"}, "must start with http"),
        ({"--api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
        ({"--modle": "x"}, "did you mean --model?"),
        ({"--max_tokens": "many"}, "must be a positive whole number, got 'many'"),
        ({"--max_in_flight": "0"}, "must be a positive whole number, got '0'"),
        ({"--temperature": "hot"}, "--temperature"),
        ({"--runner": "NoRunner"}, "--runner"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_a_command_that_cannot_work_is_one_line_and_status_2_before_the_first_request(
    job, change, words, monkeypatch
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    job.write({"prompt": "x"})
    given = {
        "--input": str(job.folder / "in.jsonl"),
        "--output": str(job.out),
        "--model": "openai/m",
        "--base_url": job.server.base_url,
        **change,
    }
    argv = [x for flag, v in given.items() if v for x in (flag, v.format(folder=job.folder))]
    assert job.call(argv) == 2
    assert words in job.printed.err
    assert len(job.printed.err.strip().splitlines()) == 1
    assert job.server.requests == []


def test_help_lists_every_flag_and_how_to_run_on_dataflow(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["--help"])
    assert exited.value.code == 0
    out = capsys.readouterr().out
    for word in ("--input", "--output", "--model", "--api_key_env", "--emit_deltas", "Dataflow"):
        assert word in out


# --- The progress line --------------------------------------------------------------------------


def test_the_progress_line_shows_rows_and_time_left():
    tally, times = Tally(), iter([0.0, 10.0])
    line = ProgressLine(100, io.StringIO(), tally, clock=lambda: next(times), plain_every=3600)
    with line:
        tally.completions, tally.dead_letters, tally.completion_tokens = 24, 1, 500
        assert line.text() == (
            "█████░░░░░░░░░░░░░░░ 25 of 100 rows, 1 failed · 500 tokens · 50 tokens/s · 30 s left"
        )


def test_the_progress_line_works_without_a_total():
    tally, times = Tally(), iter([0.0, 2.0])
    with ProgressLine(
        None, io.StringIO(), tally, clock=lambda: next(times), plain_every=3600
    ) as line:
        tally.completions, tally.completion_tokens = 3, 8
        assert line.text() == "3 rows · 8 tokens · 4.0 tokens/s"


def test_the_progress_line_says_that_the_server_sends_no_token_counts():
    tally, times = Tally(), iter([0.0, 2.0])
    with ProgressLine(
        None, io.StringIO(), tally, clock=lambda: next(times), plain_every=3600
    ) as line:
        tally.completions = tally.uncounted = 3
        assert line.text() == "3 rows · the server sends no token counts"


class Braked:
    """A gate with `brakes`."""

    in_flight = 12

    def __init__(self, *brakes):
        self.brakes = list(brakes)


LIMIT = Brake("limit", 32, 0.06, 0.0, 94.3)
NOISE = Brake("noise", 256, 0.031, 0.0, 700.0)


def held_back_line(*brakes, width=None, done=0):
    """Return the line of a job of 2,000 rows that `brakes` hold back."""
    tally = Tally(retries=2, completion_tokens=24_690, completions=done)
    gate = Braked(*brakes)  # the tally refers to it weakly
    tally.gates.add(gate)
    line = ProgressLine(2000, io.StringIO(), Tally(), clock=lambda: 10.0, plain_every=3600)
    line._tally, line._started = tally, 0.0
    return line.text(width)


def test_the_progress_line_shows_requests_in_flight_and_what_holds_them_back():
    assert held_back_line(NOISE).endswith("12 in flight · 2 retries · 3 % refused (noise)")
    assert held_back_line().endswith("12 in flight · 2 retries")


@pytest.mark.parametrize(
    ("brake", "words"),
    [
        (NOISE, "3 % refused (noise)"),
        (NOISE._replace(refused=0.002), "0.2 % refused (noise)"),
        (LIMIT, "limited to 32 in flight (94 requests/s) by the provider, 6 % refused"),
        (LIMIT._replace(rate=None), "limited to 32 in flight by the provider, 6 % refused"),
        (Brake("trial", 180, 0.2, 0.0), "20 % refused: trying 180 in flight"),
        (Brake("queue", 90, 0.0, 0.0), "limited to 90 in flight: more would only queue"),
        (Brake("pause", 1, 1.0, 12.3), "paused by the provider for 12 s"),
        (Brake("pause", 1, 1.0, 0.24), "paused by the provider for 0.2 s"),
        (
            Brake("rate", 64, 0.0, 0.0, 3.21),
            "limited to about 3.2 requests/s by the provider's headers",
        ),
        (Brake("rpm", 64, 0.0, 0.0), "limited by --rpm"),
        (Brake("tpm", 64, 0.01, 0.0), "limited by --tpm, 1 % refused"),
    ],
)
def test_each_reason_that_holds_a_job_back_has_a_text(brake, words):
    assert in_words(brake) == words


def test_the_tightest_of_several_queues_comes_first():
    wider = LIMIT._replace(allowed=100)
    line = held_back_line(NOISE, wider, LIMIT)
    assert line.index("limited to 32") < line.index("limited to 100") < line.index("(noise)")


def test_a_narrow_progress_line_keeps_what_holds_the_job_back():
    line = held_back_line(LIMIT, NOISE, width=79, done=1234)
    facts = "provider allows 32 in flight, 6 % refused · 6 s left"
    assert line == f"1,234 of 2,000 rows · {facts}"
    assert len(held_back_line(LIMIT, NOISE, width=119, done=1234)) <= 119


def test_a_progress_line_that_fits_leaves_nothing_out():
    assert held_back_line(LIMIT, width=500, done=1234) == held_back_line(LIMIT, done=1234)


def test_the_progress_line_says_how_many_rows_wait_for_the_budget():
    tally, ledger = Tally(), Ledger(Caps(tokens=1000))
    ledger.waiting.add(print)
    tally.ledgers.add(ledger)
    with ProgressLine(None, io.StringIO(), tally, plain_every=3600) as line:
        assert line.text().endswith("· 1 wait for the budget")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (185, "3:05"), (7800, "2:10:00")]
)
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text


# --- Paid once ----------------------------------------------------------------------------------

JOURNAL_FILES = {"journal.sqlite", "journal.sqlite.lock"}


def test_the_same_command_again_sends_nothing(job):
    job.write({"id": "a", "prompt": "one two"}, {"id": "b", "prompt": "three"})
    job.run("--emit_deltas")
    first = job.rows("completions")
    assert job.run("--emit_deltas") == 0
    assert len(job.server.requests) == 2
    assert job.rows("completions") == first
    assert (job.report["completed"], job.report["replayed"]) == (2, 2)
    assert "2 completed (2 from the journal)" in job.printed.out


def test_only_edited_and_new_rows_are_sent(job):
    job.write({"id": "a", "prompt": "one"}, {"id": "b", "prompt": "two"})
    job.run()
    same = {"id": "a", "prompt": "one", "note": "x"}
    job.write(same, {"id": "b", "prompt": "2"}, {"prompt": "c"})
    job.run()
    asked = [request.json["messages"][0]["content"] for request in job.server.requests]
    assert sorted(asked) == ["2", "c", "one", "two"]
    assert job.rows("completions")["a"]["input"]["note"] == "x"
    assert job.rows("completions")["b"]["text"] == "2"


def test_another_model_or_parameter_is_another_request(job):
    job.write({"id": "a", "prompt": "one"})
    job.run("--temperature", "0")
    job.run("--temperature", "0.5")
    assert len(job.server.requests) == 2


def test_another_address_in_the_environment_is_another_request(job, fake_server, monkeypatch):
    """The same model name at another server is another model."""
    job.write({"id": "a", "prompt": "one"})
    argv = ["--input", str(job.folder / "in.jsonl"), "--output", str(job.out)]
    argv += ["--model", "openai/m"]
    with FakeServer() as other:
        for server in (fake_server, other, fake_server):
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            assert job.call(argv) == 0
        assert (len(fake_server.requests), len(other.requests)) == (1, 1)
    assert job.run() == 0  # the same address, said on the command line
    assert len(fake_server.requests) == 1


def test_failed_rows_are_sent_again(job):
    job.server.enqueue(api_error(400))
    job.write({"id": "a", "prompt": "one"})
    assert job.run() == 1
    assert job.run() == 0
    assert job.rows("completions")["a"]["text"] == "one"


def test_a_retried_bundle_pays_for_nothing_twice(job):
    job.write(*({"id": f"{n}", "prompt": f"question {n}"} for n in range(20)))
    job.run("--direct_runner_bundle_repeat=2")
    assert len(job.server.requests) == 20
    assert len(job.rows("completions")) == 20


def test_without_a_journal_all_rows_are_sent_again(job):
    job.write({"id": "a", "prompt": "one"})
    job.run("--journal", "none")
    job.run("--journal", "none")
    assert len(job.server.requests) == 2
    assert not {file.name for file in job.out.iterdir()} & JOURNAL_FILES


def test_a_file_that_is_not_a_journal_is_refused_before_the_first_request(job):
    job.write({"id": "a", "prompt": "one"})
    assert job.run("--journal", "nonsense") == 2
    assert "--journal" in job.printed.err
    assert job.server.requests == []


def test_a_second_run_beside_the_first_is_refused_before_the_first_request(job):
    job.write({"id": "a", "prompt": "one"})
    job.out.mkdir()
    first = open_journal("auto", str(job.out), required=True, run="another run")
    assert job.run() == 2
    assert "in use by another run (process" in job.printed.err
    assert len(job.printed.err.strip().splitlines()) == 1
    assert job.server.requests == []
    first.close()
    assert job.run() == 0


@pytest.mark.parametrize("flags", [[], ["--journal", "{out}/shards"]], ids=["sqlite", "folder"])
def test_the_rest_of_a_truncated_journal_is_used_and_the_log_says_how_much(job, flags, caplog):
    rows = 60
    flags = [flag.format(out=job.out) for flag in flags]
    prompts = (random.Random(n).randbytes(500).hex() for n in range(rows))
    job.write(*({"id": f"{n}", "prompt": prompt} for n, prompt in enumerate(prompts)))
    command = [sys.executable, "-m", "pipelines.batch_complete", *job.argv("in.jsonl", *flags)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (kept,) = [job.out / "journal.sqlite"] if not flags else job.out.glob("shards/part-*")
    kept.write_bytes(kept.read_bytes()[: kept.stat().st_size * 3 // 4])
    assert job.run(*flags) == 0
    assert len(job.rows("completions")) == rows
    readable = 2 * rows - len(job.server.requests)
    assert 0 < readable < rows
    assert f"{readable} completions could be read and are used" in caplog.text
    assert job.report["replayed"] == readable


@pytest.mark.parametrize(("rows", "in_flight"), [(200, 8), (400, 20)])
def test_after_kill_9_only_requests_in_flight_are_paid_twice(job, rows, in_flight):
    """Half of the answers come whole, the next break off before their last event; the job dies."""

    def script(request):
        events = chat_events(f"answer to {asked_of(request)}")
        dies = len(job.server.requests) > rows // 2
        return stream(*events[:-1], Stall()) if dies else stream(*events)

    job.server.script = script
    job.write(*({"id": f"{n}", "prompt": f"question {n}"} for n in range(rows)))
    command = [sys.executable, "-m", "pipelines.batch_complete"]
    command += job.argv("in.jsonl", "--max_in_flight", str(in_flight))
    with started(command, stderr=subprocess.DEVNULL, cwd=ROOT) as program:
        # All answers are read and kept once only those that break off are left.
        paid = rows // 2 + in_flight
        job.server.wait_until(lambda: len(job.server.requests) == paid, timeout=120)
        job.server.wait_until(lambda: job.server.open_streams == in_flight, timeout=120)
        program.kill()
    job.server.script = lambda request: stream(*chat_events(f"answer to {asked_of(request)}"))
    assert job.run("--max_in_flight", str(in_flight)) == 0
    asked = Counter(map(asked_of, job.server.requests))
    assert len(asked) == rows
    assert asked.total() - rows <= in_flight
    assert job.report["replayed"] == rows // 2
    texts = {id: row["text"] for id, row in job.rows("completions").items()}
    assert texts == {f"{n}": f"answer to question {n}" for n in range(rows)}
    assert job.run() == 0
    assert len(job.server.requests) == asked.total()
    assert job.report["replayed"] == rows


def asked_of(request):
    return request.json["messages"][0]["content"]


# --- Being stopped ------------------------------------------------------------------------------


def test_ctrl_c_stops_the_provider_and_leaves_one_line_and_no_partial_files(job):
    """A process of its own: the signal must reach the real main thread."""
    job.server.script = lambda request: stream(*chat_events("x")[:2], Stall())
    job.write({"prompt": "x"}, {"prompt": "y"})
    command = [sys.executable, "-m", "pipelines.batch_complete"]
    command += ["--input", str(job.folder / "in.jsonl"), "--output", str(job.out)]
    command += ["--model", "openai/m", "--base_url", job.server.base_url]
    with started(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        job.server.wait_until(lambda: job.server.open_streams == 2, timeout=120)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=120)
    assert program.returncode == 130
    assert err.strip() == (
        f"batch_complete: stopped; nothing was written to {job.out}; the same command resumes from"
        " the journal"
    )
    job.server.wait_until(lambda: job.server.open_streams == 0)
    left = {file.name.partition("-")[0] for file in job.out.iterdir()}
    assert left <= JOURNAL_FILES | {"_manifest"}


def test_a_second_ctrl_c_ends_the_job_at_once_and_restores_the_terminal(job):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    job.server.script = lambda request: stream(*chat_events("x")[:2], Stall())
    job.write({"prompt": "x"})
    command = [sys.executable, "-m", "pipelines.batch_complete"]
    command += ["--input", str(job.folder / "in.jsonl"), "--output", str(job.out)]
    command += ["--model", "openai/m", "--base_url", job.server.base_url]
    person, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with started(command, cwd=ROOT, preexec_fn=_in_session_of(terminal), **streams) as it:
        job.server.wait_until(lambda: job.server.open_streams == 1, timeout=120)
        while it.poll() is None:  # the first may not have been heard when the second is pressed
            os.write(person, b"\x03")
            select.select([person], [], [], 0.01)
    assert it.returncode == 130
    assert termios.tcgetattr(terminal) == before
    os.close(terminal)
    shown = _all_of(person)
    assert "Traceback" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor is seen again"
    assert not shown or shown.endswith(("\n", "\r", "^C", "\x1b[K")), repr(shown[-200:])


def _in_session_of(terminal):
    """Return what makes `terminal` the one at which Ctrl-C reaches a new process."""
    import fcntl
    import termios

    def become():
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    return become


def _all_of(person):
    """Return all that a terminal has shown: on Linux its end is an error."""
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(person, 65536):
            shown += piece
    os.close(person)
    return shown.decode(errors="replace")


def test_a_failed_job_gives_the_reason_in_its_last_line(job, monkeypatch):
    def break_(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.outputs.formats.jsonl.to_bytes", break_)
    job.write({"prompt": "x"})
    assert job.run() == 1
    last = job.printed.err.strip().splitlines()[-1]
    assert last == "batch_complete: the job failed: OSError: [Errno 28] No space left on device"
