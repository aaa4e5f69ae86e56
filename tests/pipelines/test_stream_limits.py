"""What a streaming job may spend, and how many of its messages may fail."""

from __future__ import annotations

import io
import sys

import apache_beam as beam
import orjson
import pytest
from fake_server import api_error, chat_events, stream

from pipelines.stream_complete import main, parser
from pipelines.stream_job import build


@pytest.fixture
def job(fake_server, capfd, monkeypatch, tmp_path):
    """Return a function that runs the program on lines; returns the status, rows and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")

    def run(*lines, flags=()):
        raw = b"".join(line.encode() + b"\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        common = ["--model=openai/m", f"--base_url={fake_server.base_url}", "--source=stdin"]
        with pytest.raises(SystemExit) as end:
            main([*common, *flags])
        captured = capfd.readouterr()
        return end.value.code, [*map(orjson.loads, captured.out.splitlines())], captured.err

    return run


# Each message takes four tokens, and reserves a few more until it ends.
LINES = [f"one {n}" for n in range(30)]
BUDGET = ["--max_total_tokens=60", "--max_tokens=8", "--max_in_flight=1"]


def kinds(rows):
    return sorted({row.get("error_type") or row["kind"] for row in rows})


def test_messages_beyond_the_budget_are_not_sent(job, fake_server):
    status, rows, err = job(*LINES, flags=BUDGET)
    assert status == 0
    assert kinds(rows) == ["BudgetExceeded", "delta"]
    assert 1 <= len(fake_server.requests) < 30
    assert "of 60 tokens spent by all runs" in err


def test_the_budget_counts_what_earlier_runs_have_spent(job, fake_server):
    flags = [*BUDGET, "--journal=sqlite:j.sqlite"]
    job(*LINES, flags=flags)
    sent = len(fake_server.requests)
    _, rows, _ = job('{"id": "new", "prompt": "three four"}', flags=flags)
    assert kinds(rows) == ["BudgetExceeded"]
    assert len(fake_server.requests) == sent


def test_a_model_without_a_price_is_refused_before_the_first_request(job, fake_server):
    status, rows, err = job("one", flags=["--max_cost_usd=5"])
    assert (status, rows) == (2, [])
    assert "--max_cost_usd: " in err
    assert len(err.splitlines()) == 1
    assert not fake_server.requests


def test_equal_messages_share_a_completion(job, fake_server):
    flags = ["--dedupe", "--journal=sqlite:j.sqlite", "--max_in_flight=1"]
    status, rows, _ = job(*["same words"] * 3, flags=flags)
    assert status == 0
    assert len({row["id"] for row in rows if row["final"]}) == 3
    assert len(fake_server.requests) == 1


def test_equal_messages_need_a_journal(job):
    status, _, err = job("one", flags=["--dedupe"])  # standard input has none
    assert status == 2
    assert err.strip().endswith(
        "--dedupe finds equal requests in the journal; name one with --journal"
    )


def test_a_job_stops_when_too_many_messages_fail(job, fake_server):
    fake_server.script = lambda request: (
        api_error(400, "invalid_request_error", "x", "No.")
        if request.json["messages"][-1]["content"].startswith("bad")
        else stream(*chat_events("fine"))
    )
    lines = [f"good {n}" for n in range(60)] + [f"bad {n}" for n in range(300)]
    status, _, err = job(*lines, flags=["--fail_above=0.2", "--max_in_flight=4"])
    assert status == 1
    assert "rows failed, more than 0.2: " in err
    assert "BadRequestError" in err
    assert len(fake_server.requests) < 200


def test_a_job_without_the_flags_has_the_steps_that_it_had():
    def steps(*flags):
        known_args = parser().parse_args(
            [
                *("--source=pubsub:projects/my-project/subscriptions/s", "--deltas_to=redis://h/0"),
                *("--completions_to=pubsub:projects/my-project/topics/t", "--journal=none", *flags),
            ]
        )
        known_args.max_in_flight, known_args.output = 4, "."
        p = beam.Pipeline(runner="FnApiRunner")
        build(p, known_args, None)
        return {t.unique_name for t in p.to_runner_api().components.transforms.values()}

    added = steps("--fail_above=0.5") - steps()
    stops = {"StopCompletions", "StopFailedCalls", "StopFailedRows"}
    assert stops <= {name.partition("/")[0] for name in added}
    assert not {name for name in steps() if name.startswith("Stop")}
