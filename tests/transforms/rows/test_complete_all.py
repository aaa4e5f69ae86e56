"""Rows completed without a pipeline: dicts in, dicts out, resumable."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from fake_server import Wait, api_error, chat_events, echo, stream

from ritellm import Answer, RetryPolicy
from ritellm.errors import AuthenticationError, InvalidRequestError
from ritellm.prices import Price
from transforms import Caps, complete_all
from transforms.failures import TooManyFailures
from transforms.journal import NewJournal
from transforms.journal.sqlite.journal import SqliteJournal

ROOT = Path(__file__).resolve().parents[3]
NO_DELAY = RetryPolicy(first_delay=0)
SPACE = {"api_key": "sk-none", "timeout": 60, "retry": NO_DELAY}


def ask(server, rows, **options):
    return complete_all(rows, "openai/m", base_url=server.base_url, **{**SPACE, **options})


def texts(results):
    return [result["text"] for result in results]


def until_error(results, kind, message):
    """Return the results before the error that ends them."""
    seen = []
    with pytest.raises(kind, match=message):
        seen.extend(results)  # appends each one as it comes
    return seen


def asked(server):
    return sorted(request.json["messages"][-1]["content"] for request in server.requests)


def test_each_row_has_one_dict_with_its_answer_and_the_row_itself(fake_server):
    rows = [{"id": "a", "prompt": "one", "tags": {1, 2}}, {"prompt": "two"}, "three"]
    first, second, third = sorted(ask(fake_server, rows), key=lambda result: result["index"])
    assert (first["id"], first["text"], first["error_type"]) == ("a", "one", None)
    assert first["input"] is rows[0]
    assert first["completion"]["choices"][0]["message"]["content"] == "one"
    assert (first["attempts"], first["truncated"], first["replayed"]) == (1, False, False)
    assert (second["id"], second["text"]) == ("row-1", "two")
    assert (third["id"], third["text"], third["input"]) == ("row-2", "three", "three")


def test_a_failed_row_is_a_dict_with_the_same_fields(fake_server):
    fake_server.script = lambda request: (
        api_error(400, "invalid_request_error", "x", "No.")
        if request.json["messages"][-1]["content"] == "bad"
        else echo(request)
    )
    rows = ["good", "bad", {"text": "no prompt"}, 5]
    good, bad, shapeless, number = ask(fake_server, rows, in_order=True)
    assert good.keys() == bad.keys() == shapeless.keys() == number.keys()
    assert (bad["text"], bad["error_type"], bad["status_code"]) == (None, "BadRequestError", 400)
    assert (shapeless["error_type"], shapeless["message"]) == (
        "RowError",
        "row 2: a row must have 'prompt' or 'messages', got text",
    )
    assert number["message"].startswith("row 3: an element must be a text, a dict")
    assert number["input"] == 5


def test_results_leave_in_the_order_of_the_rows_if_asked_to(fake_server):
    go = threading.Event()
    fake_server.script = lambda request: (
        stream(Wait(go), *chat_events("late"))
        if request.json["messages"][-1]["content"] == "0"
        else echo(request)
    )
    results = ask(fake_server, map(str, range(40)), in_order=True, max_in_flight=4)
    threading.Timer(0.2, go.set).start()
    assert texts(results) == ["late", *map(str, range(1, 40))]


def test_results_leave_as_they_are_complete(fake_server):
    go = threading.Event()
    fake_server.script = lambda request: (
        stream(Wait(go), *chat_events("late"))
        if request.json["messages"][-1]["content"] == "0"
        else echo(request)
    )
    results = ask(fake_server, map(str, range(40)), max_in_flight=4)
    first = [next(results)["text"] for _ in range(39)]
    assert sorted(first, key=int) == [str(number) for number in range(1, 40)]
    go.set()
    assert texts(results) == ["late"]


@pytest.mark.parametrize("in_order", [False, True])
def test_an_endless_generator_is_read_only_as_far_as_there_is_room(fake_server, in_order):
    read = itertools.count()
    rows = (str(number) for number in read)
    results = ask(fake_server, rows, max_in_flight=4, in_order=in_order)
    assert next(read) == 0, "nothing is read before the first result is wanted"
    taken = list(itertools.islice(results, 50))
    assert len(taken) == 50
    results.close()
    assert next(read) < 50 + 4 * 16 + 20


def test_results_that_wait_for_an_earlier_row_are_bounded(fake_server):
    go, read = threading.Event(), []
    fake_server.script = lambda request: (
        stream(Wait(go), *chat_events("late"))
        if request.json["messages"][-1]["content"] == "0"
        else echo(request)
    )

    def rows():
        for number in range(500):
            read.append(number)
            if number == 40:  # the most that may be read: 2 in flight, 32 held, a few ahead
                go.set()
            yield str(number)

    results = ask(fake_server, rows(), in_order=True, max_in_flight=2)
    threading.Timer(1.0, go.set).start()
    assert next(results)["text"] == "late"
    assert len(read) < 80
    assert texts(results) == [str(number) for number in range(1, 500)]


def test_a_second_call_with_the_journal_sends_only_what_is_missing(fake_server, tmp_path):
    rows = [{"id": "a", "prompt": "one"}, "two", "two"]
    journal = tmp_path / "answers.sqlite"
    first = list(ask(fake_server, rows, journal=journal))
    assert [result["replayed"] for result in first] == [False] * 3
    again = list(ask(fake_server, ["new", *rows, "two"], journal=str(journal), in_order=True))
    assert texts(again) == ["new", "one", "two", "two", "two"]
    assert [result["replayed"] for result in again] == [False, True, True, True, False]
    assert asked(fake_server) == ["new", "one", "two", "two", "two"]


def test_leaving_the_loop_leaves_a_journal_that_resumes(fake_server, tmp_path):
    journal = tmp_path / "answers.sqlite"
    rows = [str(number) for number in range(30)]
    for result in ask(fake_server, iter(rows), journal=journal, max_in_flight=2):
        if result["index"] >= 9:
            break
    sent = len(fake_server.requests)
    assert sent < 30
    rest = list(ask(fake_server, iter(rows), journal=journal, max_in_flight=2))
    assert sorted(texts(rest), key=int) == rows
    assert sum(result["replayed"] for result in rest) >= 9
    assert len(fake_server.requests) <= 30 + 4, "at most what was in flight is sent again"


def test_another_process_may_use_the_journal_once_the_iterator_is_closed(fake_server, tmp_path):
    path = tmp_path / "answers.sqlite"
    with ask(fake_server, ["one", "two"], journal=path) as results:
        next(results)
    SqliteJournal(str(path), "another run").close()


PROGRAM = """
import sys
from transforms import complete_all

rows = (str(number) for number in range(200))
print("begin", flush=True)
for result in complete_all(rows, "openai/m", base_url=sys.argv[1], api_key="sk-none",
                           journal=sys.argv[2], max_in_flight=4):
    print(result["text"], flush=True)
"""


def test_after_ctrl_c_the_same_call_continues(fake_server, tmp_path):
    hold = threading.Event()
    fake_server.script = lambda request: (
        echo(request)
        if int(request.json["messages"][-1]["content"]) < 20 or hold.is_set()
        else stream(Wait(hold), *chat_events("late"))
    )
    command = [sys.executable, "-c", PROGRAM, fake_server.base_url, str(tmp_path / "j.sqlite")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout.readline() == "begin\n"
    seen = [program.stdout.readline().strip() for _ in range(20)]
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode != 0
    assert errors.strip().endswith("KeyboardInterrupt")
    hold.set()
    sent = len(fake_server.requests)
    again = list(ask(fake_server, map(str, range(200)), journal=tmp_path / "j.sqlite"))
    assert {result["text"] for result in again if result["replayed"]} == set(seen)
    assert len(fake_server.requests) - sent == 180


def test_an_error_of_the_rows_comes_after_the_results_of_the_rows_before_it(fake_server):
    def rows():
        yield "one"
        yield "two"
        raise LookupError("the source has gone")

    seen = until_error(ask(fake_server, rows()), LookupError, "the source has gone")
    assert sorted(texts(seen)) == ["one", "two"]


def test_an_error_of_the_loop_cancels_what_is_in_flight(fake_server):
    hold = threading.Event()
    fake_server.script = lambda request: (
        echo(request)
        if request.json["messages"][-1]["content"] == "0"
        else stream(Wait(hold), *chat_events("late"))
    )
    with ask(fake_server, map(str, range(9))) as results:
        assert next(results)["text"] == "0"
    with pytest.raises(StopIteration):
        next(results)
    hold.set()


def test_a_repeated_id_is_a_failed_row(fake_server):
    rows = [{"id": 7, "prompt": "one"}, {"id": "7", "prompt": "two"}]
    first, second = ask(fake_server, rows, in_order=True)
    assert (first["text"], first["id"]) == ("one", "7")
    assert (second["error_type"], second["id"]) == ("DuplicateIdError", "7")
    assert asked(fake_server) == ["one"]


def test_templates_parameters_and_columns_are_those_of_to_prompts(fake_server):
    pytest.importorskip("jinja2")
    rows = [{"key": "x", "word": "cat", "temperature": 1}]
    (result,) = ask(
        fake_server,
        rows,
        template="Translate: {{ word }}",
        system_template="Be brief.",
        id="key",
        param_columns=["temperature"],
        max_tokens=9,
    )
    assert (result["id"], result["text"]) == ("x", "Translate: cat")
    (request,) = fake_server.requests
    assert (request.json["temperature"], request.json["max_tokens"]) == (1, 9)
    assert request.json["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"prompt": ["one", "two"], "n": [1, 2]}),
        pa.table({"prompt": ["one", "two"], "n": [1, 2]}),
    ],
    ids=["pandas", "pyarrow"],
)
def test_a_table_is_its_rows(fake_server, table):
    results = list(ask(fake_server, table, in_order=True))
    assert texts(results) == ["one", "two"]
    assert results[1]["input"] == {"prompt": "two", "n": 2}


def test_results_become_a_data_frame(fake_server):
    frame = pd.DataFrame(ask(fake_server, ["one", 5], in_order=True))
    assert frame["text"].tolist() == ["one", None]
    assert frame["error_type"].tolist() == [None, "RowError"]


def test_rows_without_a_budget_left_fail_without_being_sent(fake_server, tmp_path):
    prices = {"openai/m": Price(1_000_000, 1_000_000)}
    options = {"budget": Caps(usd=40.0), "prices": prices, "max_in_flight": 1, "max_tokens": 2}
    rows = [f"word{number}" for number in range(30)]
    journal = tmp_path / "j.sqlite"
    done = list(ask(fake_server, rows, journal=journal, **options))
    over = [result for result in done if result["error_type"] == "BudgetExceeded"]
    assert over
    assert len(over) < 30
    sent = len(fake_server.requests)
    assert sent == 30 - len(over)
    again = list(ask(fake_server, rows, journal=journal, **options))
    assert sum(result["replayed"] for result in again) == sent
    assert len(fake_server.requests) == sent, "the spending of the first call counts"


def test_a_budget_needs_a_price(fake_server):
    with pytest.raises(InvalidRequestError, match="needs the price of 'openai/m'"):
        ask(fake_server, ["one"], budget=5)


def test_a_key_that_is_refused_ends_the_call_after_twenty_rows(fake_server):
    fake_server.script = lambda request: api_error(401, "invalid", "x", "Wrong key.")
    results = ask(fake_server, map(str, range(1000)), max_in_flight=4)
    message = "the provider refused 20 rows one after the other"
    seen = until_error(results, TooManyFailures, message)
    assert [result["error_type"] for result in seen] == ["AuthenticationError"] * 20
    assert len(fake_server.requests) < 40
    assert len(list(ask(fake_server, map(str, range(50)), most_refused=None))) == 50


def test_a_quota_that_is_used_up_ends_it_too(fake_server):
    refusal = api_error(429, "insufficient_quota", "insufficient_quota", "No quota is left.")
    fake_server.script = lambda request: refusal
    results = ask(fake_server, map(str, range(1000)), max_in_flight=4)
    assert len(until_error(results, TooManyFailures, "20 x RateLimitError")) == 20


def test_too_many_failures_end_the_call(fake_server):
    fake_server.script = lambda request: api_error(400, "invalid_request_error", "x", "No.")
    with pytest.raises(TooManyFailures, match=r"100 of 100 rows failed, more than 0\.5"):
        list(ask(fake_server, map(str, range(500)), fail_above=0.5))


def test_a_checked_answer_is_in_its_own_field(fake_server):
    fake_server.script = lambda request: stream(*chat_events('{"stars": 3}'))
    schema = {"type": "object", "properties": {"stars": {"type": "integer"}}}
    answer = Answer({**schema, "required": ["stars"], "additionalProperties": False})
    (result,) = ask(fake_server, ["Rate it."], answer=answer)
    assert result["answer"] == {"stars": 3}
    assert "answer" not in result["completion"]


def test_a_function_is_told_the_progress_after_each_row(fake_server, tmp_path):
    told = []
    list(ask(fake_server, ["one", "two three", 5], progress=told.append))
    assert [each.done for each in told] == [1, 2, 3]
    last = told[-1]
    assert (last.total, last.failed, last.replayed, last.tokens) == (3, 1, 0, 3)
    told.clear()
    list(ask(fake_server, (text for text in ["one"]), progress=told.append))
    assert told[0].total is None


def test_the_progress_line_is_on_stderr(fake_server, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(ask(fake_server, ["one", "two"], progress=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 of 2 rows" in captured.err


@pytest.mark.parametrize(
    ("wrong", "options", "message"),
    [
        ("one prompt", {}, r"rows must be an iterable of texts or dicts, got one str; put it in a"),
        ({"prompt": "x"}, {}, "got one dict"),
        (5, {}, "got int"),
        ([], {"prompt": "a", "template": "b"}, "complete_all takes one of prompt, messages and"),
        ([], {"param_columns": "temperature"}, "param_columns must be a list"),
        ([], {"budget": -1}, "budget must be an amount of USD above 0, got -1"),
        ([], {"budget": "5"}, "budget must be USD, Caps or a NewLedger, got '5'"),
        ([], {"dedupe": True}, "dedupe finds equal requests in the journal"),
        ([], {"journal": "redis://h/0"}, "needs the name of its job"),
        ([], {"hedge_after": "soon"}, "hedge_after must be seconds or a percentile"),
    ],
)
def test_wrong_arguments_are_errors_at_once(fake_server, wrong, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ask(fake_server, wrong, **options)


def test_a_key_that_is_not_there_is_an_error_at_once(fake_server, monkeypatch):
    monkeypatch.delenv("NO_KEY_HERE", raising=False)
    with pytest.raises(AuthenticationError, match="NO_KEY_HERE"):
        ask(fake_server, ["one"], api_key_env="NO_KEY_HERE", api_key=None)


def test_a_named_journal_is_used_as_it_is(fake_server, tmp_path):
    journal = NewJournal("auto", str(tmp_path))
    assert texts(ask(fake_server, ["one"], journal=journal)) == ["one"]
    assert (tmp_path / "journal.sqlite").exists()
    folder = f"{tmp_path}/kept/"
    assert texts(ask(fake_server, ["one"], journal=folder)) == ["one"]
    assert texts(ask(fake_server, ["one"], journal=folder)) == ["one"]
    assert len(fake_server.requests) == 2


def test_two_calls_at_once_share_the_limits_of_the_process(fake_server):
    def run(into):
        into += texts(ask(fake_server, map(str, range(30)), max_in_flight=4))

    one, other = [], []
    threads = [threading.Thread(target=run, args=(each,)) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one, key=int) == sorted(other, key=int) == [str(n) for n in range(30)]
    assert fake_server.max_open <= 4
