"""No row and no answer ends a job: it becomes a dead letter with its reason; the others go on."""

from __future__ import annotations

import io
import json
import re
import sys

import orjson
import pytest
from batch_job import Job
from fake_server import chat_stream, raw
from odd_values import DEEP, chat_events, replaced, variants
from rich_answers import CHAT_STREAM
from rich_requests import MESSAGES, PARAMS

from pipelines.stream_complete import main as stream_main

# The other values are tried in tests/ritellm, without a job.
FEW = ("list", "huge", "deep")


def some(document):
    """Yield the variants of `document` that have one of FEW."""
    return (each for each in variants(document) if each[0].endswith(FEW))


GOOD = {"id": "good", "prompt": "Hi", "n": 1}


def deep(levels):
    """Return a word for a list of `levels` levels: Python's JSON writes fewer of them."""
    return f"<{levels} levels>"


def written(value):
    """Return the JSON of `value`, with the lists of many levels."""
    lists = lambda found: "[" * int(found[1]) + '"odd"' + "]" * int(found[1])  # noqa: E731
    return re.sub(r'"<(\d+) levels>"', lists, json.dumps(value))


def message(content, **more):
    return [{"role": "user", "content": content, **more}]


ROWS = {
    **{
        f"{levels} levels in {where}": row
        for levels in (250, 300, 500, 1100)
        for where, row in {
            "a side column": {"prompt": "Hi", "side": deep(levels)},
            "messages": {"messages": message(deep(levels))},
            "a message": {"messages": message("Hi", odd=deep(levels))},
            "a body": {"body": {"messages": message("Hi", odd=deep(levels))}},
            "a parameter": {"prompt": "Hi", "response_format": {"odd": deep(levels)}},
            "extra_body": {"prompt": "Hi", "extra_body": {"odd": deep(levels)}},
            "metadata": {"prompt": "Hi", "metadata": {"odd": deep(levels)}},
            "a failed row": {"error_type": "x", "message": "x", "input": {"odd": deep(levels)}},
        }.items()
    },
    "calls that are texts": {
        "messages": [{"role": "assistant", "content": None, "tool_calls": ["odd"]}]
    },
    "a call that is a text": {"messages": [{"role": "assistant", "tool_calls": "odd"}]},
    **{
        f"{name}.{where}": {"prompt": "Hi", name: odd}
        for name, value in PARAMS.items()
        for where, odd in some(value)
        if not isinstance(value, dict)
    },
    **{
        f"{at}.{where}": {"messages": [odd]}
        for at, each in enumerate(MESSAGES)
        for where, odd in some(each)
    },
}


def lines(rows):
    return [written({"id": name, **row}) for name, row in rows.items()]


@pytest.fixture
def job(fake_server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    fake_server.script = lambda _: chat_stream("Hi")
    return Job(fake_server, tmp_path, capsys)


@pytest.mark.parametrize(
    "flags",
    [
        ["--max_total_tokens=100000000", "--keep_order"],
        ["--max_cost_usd=100000", "--prices=prices.json", "--dedupe", "--emit_deltas"],
    ],
    ids=" ".join,
)
def test_every_odd_row_of_a_batch_has_one_outcome(job, flags, monkeypatch):
    monkeypatch.chdir(job.folder)
    prices = {"openai/m": {"input": 1, "output": 1}}
    (job.folder / "prices.json").write_text(json.dumps(prices))
    job.write(*lines(ROWS), GOOD)
    assert job.run(*flags) == 0, job.printed.err
    done, failed = job.rows("completions"), job.rows("failed")
    assert "good" in done
    assert done.keys().isdisjoint(failed)
    assert done.keys() | failed.keys() >= ROWS.keys() - {name for name in ROWS if "1100" in name}
    assert all(row["message"] for row in failed.values())
    assert len(done) + len(failed) == len(ROWS) + 1


def test_the_failed_row_of_too_many_levels_holds_the_row(job):
    row = {"messages": message("Hi", odd=deep(500)), "side": deep(500)}
    job.write(written(row), GOOD)
    assert job.run() == 0
    (failed,) = job.rows("failed").values()
    assert "the request must have at most 250 levels" in failed["message"]
    assert failed["input"] == orjson.loads(written(row))


def test_every_odd_row_of_a_stream_has_one_outcome(fake_server, capfd, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    fake_server.script = lambda _: chat_stream("Hi")
    rows = {name: row for name, row in ROWS.items() if "1100" not in name}
    text = "\n".join([*lines(rows), json.dumps(GOOD)]) + "\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(SystemExit):
        stream_main(["--model=openai/m", f"--base_url={fake_server.base_url}", "--source=stdin"])
    found = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    ended = {row["id"] for row in found if row["kind"] != "delta" or row["final"]}
    assert ended == rows.keys() | {"good"}


ANSWERS = {
    f"{at}: {name}": [*CHAT_STREAM[:at], odd, *CHAT_STREAM[at + 1 :]]
    for at in (1, 7, 8)
    for name, odd in some(CHAT_STREAM[at])
}


@pytest.mark.parametrize(
    "flags",
    [
        ["--max_total_tokens=100000000", "--tpm=100000000", "--keep_order"],
        ["--max_cost_usd=100000", "--prices=prices.json", "--dedupe", "--emit_deltas"],
    ],
    ids=" ".join,
)
def test_every_odd_answer_leaves_one_outcome(job, flags, monkeypatch):
    monkeypatch.chdir(job.folder)
    prices = {"openai/m": {"input": 1, "output": 1}}
    (job.folder / "prices.json").write_text(json.dumps(prices))
    bodies = {name: chat_events(payloads) for name, payloads in ANSWERS.items()}
    bodies["good"] = chat_events(CHAT_STREAM)
    job.server.script = lambda request: raw(
        bodies[request.json["messages"][0]["content"]], "text/event-stream"
    )
    job.write(*({"id": name, "prompt": name} for name in bodies))
    assert job.run(*flags) == 0, job.printed.err
    done, failed = job.rows("completions"), job.rows("failed")
    assert "good" in done
    assert done.keys().isdisjoint(failed)
    assert done.keys() | failed.keys() == bodies.keys()


def test_an_odd_answer_is_a_completion_or_a_failed_row_with_its_text_and_its_usage(job):
    deep = [{**CHAT_STREAM[1], "odd": DEEP}, *CHAT_STREAM[7:]]
    odd = [*CHAT_STREAM[:8], replaced(CHAT_STREAM[8], ("usage", "prompt_tokens"), "odd")]
    bodies = {"deep": chat_events(deep), "odd": chat_events(odd)}
    job.server.script = lambda request: raw(
        bodies[request.json["messages"][0]["content"]], "text/event-stream"
    )
    job.write(*({"id": name, "prompt": name} for name in bodies))
    assert job.run() == 0
    failed = job.rows("failed")["deep"]
    assert failed["error_type"] == "UnforeseenError"
    assert "Recursion limit reached" in failed["message"]
    assert failed["partial_text"] == "Hi"
    assert failed["usage"] == CHAT_STREAM[8]["usage"]
    row = job.rows("completions")["odd"]
    assert row["usage"]["prompt_tokens"] == "odd"
    assert row["cost_usd"] is None
