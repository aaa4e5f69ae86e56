"""What the program is told to keep to: budget, equal requests, failures, order, keys, breaks."""

from __future__ import annotations

import pickle
import threading
from collections import Counter

import orjson
import pytest
from batch_job import Job
from fake_server import Reset, Wait, api_error, chat_events, chat_stream, echo, sse, stream
from redis_server import running

from pipelines.shutdown import run_program
from transforms import NewClient

MODEL = "openai/gpt-4o-mini"
ENVELOPE = set(
    "id attempts usage cost_usd wasted_tokens wasted_cost_usd waste_estimated timing"
    " error_type message status_code retryable input".split()
)


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on lines of input; returns its outcome."""
    return Job(fake_server, tmp_path, capsys)


def questions(count, **more):
    return [{"id": f"{n}", "prompt": f"question {n}", **more} for n in range(count)]


EVENTS = chat_events("a b c", usage={"prompt_tokens": 2, "completion_tokens": 3})[:-1]


def asked(job):
    return Counter(request.json["messages"][-1]["content"] for request in job.server.requests)


# --- One outcome a row --------------------------------------------------------------------------


def test_a_completion_and_a_dead_letter_have_one_envelope(job):
    job.server.script = lambda r: (
        api_error(400) if b"bad" in r.body else chat_stream("and so", finish_reason="length")
    )
    job.write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "bad"}, "nonsense")
    job.run("--model", MODEL)
    good, *bad = [job.rows("completions")["a"], *job.rows("failed").values()]
    assert len(bad) == 2
    for row in (good, *bad):
        assert row.keys() >= ENVELOPE
        assert row["timing"].keys() == good["timing"].keys()
    assert good["error_type"] is None
    assert bad[0]["timing"]["seconds"] > 0
    # An answer cut off by length is a result that says so.
    assert (good["truncated"], good["finish_reason"], good["text"]) == (True, "length", "and so")
    assert "1 completion cut off at the maximum length" in job.printed.out


def test_rows_that_fail_repeatedly_keep_their_original_row(job):
    job.server.script = lambda r: api_error(400)
    job.write({"id": "a", "prompt": "x", "topic": "t"}, "nonsense", {"id": "a", "prompt": "y"})
    job.run()
    first = job.rows("failed")
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    again.run(input="out/failed-*.jsonl")
    assert {id: row["input"] for id, row in again.rows("failed").items()} == {
        id: row["input"] for id, row in first.items()
    }


def test_a_run_does_not_replace_its_own_input(job):
    job.out.mkdir()
    job.write({"id": "a", "prompt": "x"}, name="out/failed-calls-00000-of-00001.jsonl")
    assert job.run(input="out/failed-*.jsonl") == 2
    assert "which this run would replace; choose another --output" in job.printed.err
    assert len(list(job.out.iterdir())) == 1


# --- What it costs ------------------------------------------------------------------------------


def test_the_cost_is_in_the_row_the_report_and_the_summary(job):
    job.write(*questions(4))
    job.run("--model", MODEL)
    usd = 2 * 0.15e-6 + 2 * 0.60e-6
    assert job.rows("completions")["0"]["cost_usd"] == pytest.approx(usd)
    assert job.report["cost_usd"] == pytest.approx(4 * usd)
    assert "cost: $0.000006 by list prices" in job.printed.out
    job.run("--model", MODEL)
    assert job.report["cost_usd"] == 0  # paid before
    assert job.rows("completions")["0"]["cost_usd"] == pytest.approx(usd)


def test_without_a_price_the_cost_is_null_and_never_0(job):
    job.write(*questions(1))
    job.run()
    assert job.rows("completions")["0"]["cost_usd"] is None
    assert job.report["cost_usd"] is None
    assert job.report["rows_without_price"] == 1
    said = "cost: not known, the table has no price for openai/m or for its service tier in 1 row"
    assert f"{said} (--prices)" in job.printed.out


def test_a_server_without_token_counts_is_reported(job):
    job.server.script = lambda r: chat_stream("and so", usage=False)
    job.write(*questions(2))
    job.run("--model", MODEL)
    report, row = job.report, job.rows("completions")["0"]
    assert (row["usage"], row["cost_usd"]) == (None, None)
    assert set(report["tokens"].values()) == {None}
    assert (report["rows_without_usage"], report["rows_without_price"]) == (2, 0)
    assert report["cost_usd"] is report["tokens_per_second"] is None
    said = "the server sent no token counts for 2 rows; their tokens and cost are not known"
    assert said in job.printed.out
    assert "tokens:" not in job.printed.out
    assert "price" not in job.printed.out


def test_the_price_follows_the_tier_in_the_response(job):
    def served(request):
        tier = {"question 0": "flex", "question 1": "scale"}
        said = tier.get(request.json["messages"][-1]["content"], "default")
        events = [sse({**orjson.loads(event[6:]), "service_tier": said}) for event in EVENTS]
        return stream(*events, b"data: [DONE]\n\n")

    job.server.script = served
    job.write(*questions(3))
    job.run("--model", "openai/gpt-5")
    costs = {id: row["cost_usd"] for id, row in job.rows("completions").items()}
    usd = 2 * 1.25e-6 + 3 * 10e-6
    assert costs == {"0": pytest.approx(usd / 2), "1": None, "2": pytest.approx(usd)}
    assert job.report["rows_without_price"] == 1


# --- The budget ---------------------------------------------------------------------------------


def test_at_the_cap_no_more_rows_are_sent_and_a_higher_cap_sends_only_the_rest(job):
    job.write(*questions(40, max_tokens=5))
    assert job.run("--max_total_tokens", "100") == 0
    paid, failed = len(job.server.requests), job.rows("failed")
    assert 10 <= paid < 25
    assert len(job.rows("completions")) == paid
    assert {row["error_type"] for row in failed.values()} == {"BudgetExceeded"}
    assert all(row["retryable"] and row["attempts"] == 0 for row in failed.values())
    assert f"the budget is spent: {40 - paid} not sent" in job.printed.out
    assert job.run("--max_total_tokens", "100000") == 0
    assert len(job.rows("completions")) == 40
    assert set(asked(job).values()) == {1}
    assert job.report["replayed"] == paid


def test_a_row_cannot_hide_spending_from_the_budget(job):
    hidden = [{"extra_body": {"max_tokens": 10**6}}, {"additional_params": '{"model": "dear"}'}]
    other = {"custom_llm_provider": "groq"}
    job.write(*({"id": f"{n}", "prompt": "x", **own} for n, own in enumerate([*hidden, other])))
    assert job.run("--max_total_tokens", "5000") == 1
    said = {id: row["message"] for id, row in job.rows("failed").items()}
    assert "may not set max_tokens in extra_body, which the budget does not read" in said["0"]
    assert "may not set model in additional_params" in said["1"]
    assert "may not set custom_llm_provider: only the job may" in said["2"]
    assert not job.server.requests


def test_the_budget_reserves_for_all_n_completions(job):
    job.write({"id": "a", "prompt": "x", "n": 3})
    assert job.run("--max_total_tokens", "5000") == 1
    assert job.rows("failed")["a"]["error_type"] == "BudgetExceeded"
    assert not job.server.requests


def test_the_cap_is_on_all_runs_together(job):
    job.write(*questions(10, max_tokens=5))
    job.run()
    job.write(*questions(20, max_tokens=5))
    assert job.run("--max_total_tokens", "40") == 0
    assert len(job.server.requests) == 10
    assert job.report["errors"] == {"BudgetExceeded": 10}


def test_four_processes_send_each_row_once_and_find_it_in_the_journal_later(job):
    flags = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing"]
    flags += ["--direct_num_workers=4"]
    job.write(*questions(40))
    for _ in range(2):
        done = job.process(*flags)
        assert done.returncode == 0, done.stderr
        assert len(job.rows("completions")) == job.report["completed"] == 40
        assert len(job.server.requests) == 40
    assert job.report["replayed"] == 40


def test_dollars_are_capped_by_the_given_prices(job):
    path = job.folder / "prices.json"
    path.write_text('{"openai/m": {"input": 0, "output": 1000000}}')
    job.write(*questions(9, max_tokens=2))
    job.run("--prices", str(path), "--max_cost_usd", "6.5")
    assert len(job.server.requests) == 3
    assert job.report["cost_usd"] == 6


def test_a_response_that_broke_off_costs_its_reservation(job):
    half = chat_events("partial answer")[:2]
    job.server.script = lambda request: stream(*half, Reset())
    job.write(*questions(1, max_tokens=50))
    job.run("--on_interrupt", "fail", "--max_total_tokens", "100")
    job.write(*questions(2, max_tokens=50))
    job.run("--on_interrupt", "fail", "--max_total_tokens", "100")
    assert job.report["errors"] == {"BudgetExceeded": 2}


def test_with_redis_the_cap_includes_the_spending_of_other_processes(job):
    with running() as redis:
        job.write(*questions(10, max_tokens=5))
        flags = ["--journal", redis.url, "--max_total_tokens", "60"]
        flags += ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
        job.run(*flags)
        paid = len(job.server.requests)
        assert 0 < paid * 4 <= 60
        job.write(*questions(30, max_tokens=5))
        job.run(*flags)
        assert len(job.server.requests) * 4 <= 60


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max_cost_usd", "1"], "needs the price of 'openai/m'"),
        (["--max_cost_usd", "0"], "must be an amount above 0, got '0'"),
        (["--max_cost_usd", "nan"], "must be an amount above 0"),
        (["--max_total_tokens", "-1"], "must be a positive whole number, got '-1'"),
        (["--prices", "{folder}/none.json"], "cannot read --prices"),
        (["--prices", "{folder}/in.jsonl"], "--prices: "),
        (["--fail_above", "20"], "must be a share from 0 to below 1, got '20'"),
        (["--dedupe", "--journal", "none"], "--dedupe finds equal requests in the journal"),
        (["--on_interrupt", "maybe"], "invalid choice: 'maybe'"),
        (
            ["--on_length", "continue"],
            "cannot continue an answer that max_tokens cut off: leave out --on_length continue",
        ),
        (
            ["--on_interrupt", "continue"],
            "cannot continue an interrupted answer: pass --on_interrupt",
        ),
        (["--api_key_file", "{folder}/none"], "none here: No such file or directory"),
        (["--api_key_file", "{folder}/empty"], "is empty"),
        (["--api_key_file", "{folder}/empty", "--api_key_env", "X"], "not allowed with argument"),
        (["--keep_order", "--runner", "DataflowRunner"], "needs a runner on one machine"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_limits_are_one_line_and_status_2_before_the_first_request(job, flags, words):
    (job.folder / "empty").write_text(" \n")
    job.write({"id": "a", "prompt": "x"})
    assert job.run(*(flag.format(folder=job.folder) for flag in flags)) == 2
    assert words in job.printed.err
    assert len(job.printed.err.strip().splitlines()) == 1
    assert job.server.requests == []


# --- Equal requests -----------------------------------------------------------------------------


def test_equal_requests_of_a_run_are_sent_once(job):
    rows = [{"id": f"{n}", "prompt": f"question {n % 3}", "number": n} for n in range(30)]
    job.write(*rows)
    assert job.run("--model", MODEL, "--dedupe") == 0
    assert set(asked(job).values()) == {1}
    out = job.rows("completions")
    assert {id: row["input"] for id, row in out.items()} == {row["id"]: row for row in rows}
    assert all(row["text"] == row["input"]["prompt"] for row in out.values())
    assert sum(row["shared"] for row in out.values()) == job.report["shared"] == 27
    paid = [row["cost_usd"] for row in out.values() if not row["shared"]]
    assert job.report["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in out.values()))
    assert job.report["cost_usd"] == pytest.approx(sum(paid))
    assert job.report["tokens"]["completion_tokens"] == 6
    assert "30 completed (27 shared)" in job.printed.out


def test_equal_requests_are_shared_with_earlier_runs_and_deltas_come_for_all(job):
    job.write({"id": "a", "prompt": "one two"})
    job.run()
    job.write({"id": "b", "prompt": "one two"}, {"id": "c", "prompt": "one two"})
    job.run("--dedupe", "--emit_deltas")
    assert len(job.server.requests) == 1
    lines = [
        orjson.loads(line)
        for file in job.out.glob("deltas-*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    assert sorted((line["id"], line["seq"], line["text"]) for line in lines) == [
        (id, seq, text) for id in "bc" for seq, text in ((0, "one two"), (1, ""))
    ]


def test_a_refusal_holds_for_the_equal_requests_that_wait_for_it(job):
    job.server.script = lambda request: api_error(400)
    job.write(*({"id": f"{n}", "prompt": "same", "number": n} for n in range(5)))
    assert job.run("--dedupe") == 1
    failed = job.rows("failed")
    assert {id: row["input"]["number"] for id, row in failed.items()} == {
        f"{n}": n for n in range(5)
    }
    assert sum(row["attempts"] for row in failed.values()) == len(job.server.requests)


# --- Too many failures --------------------------------------------------------------------------


def test_too_many_failures_stop_the_job_with_the_reasons_and_the_next_run_resumes(job):
    ill = [True]
    job.server.script = lambda r: api_error(400) if ill[0] and b"odd" in r.body else echo(r)
    job.write(*({"id": f"{n}", "prompt": "odd" * (n % 2) + f" {n}"} for n in range(400)))
    done = job.process("--fail_above", "0.2", "--max_in_flight", "8")
    assert done.returncode == 1
    assert len(job.server.requests) < 150
    (line,) = done.stderr.splitlines()
    assert line.startswith("batch_complete: stopped early: ")
    assert "more than 0.2: " in line
    assert "x BadRequestError (openai/m: " in line
    assert line.endswith("the same command resumes from the journal")
    stopped = {file.name.partition("-")[0] for file in job.out.iterdir()}
    assert {"journal.sqlite", "_manifest", "completions"} <= stopped
    assert not stopped & {"_unfinished", "_SUCCESS", "report.json"}
    assert f"rows are in {job.out};" in line
    ill[0] = False
    job.server.requests.clear()
    assert job.run("--fail_above", "0.2") == 0
    assert len(job.rows("completions")) == 400
    assert job.report["replayed"] + len(job.server.requests) == 400


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "transforms.failure_limit.TooManyFailures",
            "job: stopped early: 3 of 4 failed; tidied up",
        ),
        ("OSError", "job: the job failed: OSError: 3 of 4 failed"),
    ],
)
def test_the_last_line_has_the_error_that_beam_wraps(capsys, name, words):
    def run():
        trace = "Traceback (most recent call last):\n  File x, line 3\n"
        raise RuntimeError(f"{trace}{name}: 3 of 4 failed [while running 'Watch']\n")

    with pytest.raises(SystemExit) as exited:
        run_program("job", run, lambda: "tidied up")
    assert exited.value.code == 1
    assert capsys.readouterr().err == f"{words}\n"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_stops_the_job_after_some_rows(job, status):
    job.server.script = lambda r: api_error(status)
    job.write(*questions(500))
    done = job.process("--max_in_flight", "8")
    assert done.returncode == 1
    assert 20 <= len(job.server.requests) < 100
    line = done.stderr.splitlines()[-1]
    assert line.startswith("batch_complete: stopped early: the provider refused ")
    assert "rows one after the other: " in line


def test_refusals_of_some_rows_stop_nothing(job):
    accepted = [f"question {n}" for n in range(0, 100, 2)]

    def script(request):
        asked = request.json["messages"][0]["content"]
        return echo(request) if asked in accepted else api_error(403)

    job.server.script = script
    job.write(*questions(100))
    assert job.run("--max_in_flight", "1") == 0
    assert job.report["errors"] == {"PermissionDeniedError": 50}


def test_a_local_file_in_a_row_is_refused_with_what_a_row_can_have_instead(job):
    image = {"type": "image_url", "image_url": {"url": "/data/a.png"}}
    job.write({"id": "a", "messages": [{"role": "user", "content": [image]}]})
    assert job.run() == 1
    said = job.rows("failed")["a"]["message"]
    assert "names a local file, '/data/a.png', which is not read" in said
    assert "give a data: or https: URL" in said


# --- Empty answers, and what earlier runs paid --------------------------------------------------


def test_an_empty_answer_is_counted_and_an_answer_of_tool_calls_is_not_empty(job):
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    delta = {"role": "assistant", "content": None, "tool_calls": [call]}
    chunk = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def script(request):
        if b"question 0" in request.body:
            return chat_stream("")
        if b"question 1" in request.body:
            choice = {"index": 0, "delta": delta, "finish_reason": "tool_calls"}
            return stream(sse({**chunk, "choices": [choice]}), b"data: [DONE]\n\n")
        return echo(request)

    job.server.script = script
    job.write(*questions(4))
    assert job.run() == 0
    assert (job.report["empty"], job.report["completed"]) == (1, 4)
    assert "1 completion without any content (empty)" in job.printed.out
    assert job.run() == 0
    assert job.report["empty"] == 1


def test_the_report_says_what_earlier_runs_paid_for_rows_of_the_journal(job):
    job.write(*questions(10))
    job.run("--model", MODEL)
    first = job.report
    assert first["paid_earlier"]["rows"] == 0
    assert "earlier runs:" not in job.printed.out
    job.write(*questions(12))
    job.run("--model", MODEL)
    assert job.report["paid_earlier"] == {
        "rows": 10,
        "prompt_tokens": 20,
        "completion_tokens": 20,
        "cost_usd": pytest.approx(first["cost_usd"]),
    }
    assert "earlier runs: 20 in, 20 out, $0.000015 for 10 rows of the journal" in job.printed.out
    assert "all runs: 24 in, 24 out, $0.000018" in job.printed.out
    job.run("--model", MODEL)
    assert "earlier runs: 24 in, 24 out, $0.000018 for 12 rows" in job.printed.out


def test_a_small_job_beyond_its_share_of_failures_writes_its_output_and_fails(job):
    job.server.script = lambda r: api_error(400) if b"bad" in r.body else echo(r)
    job.write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "bad"}, {"id": "c", "prompt": "y"})
    assert job.run("--fail_above", "0.3") == 1
    assert "batch_complete: 1 of 3 rows failed, more than 0.3: 1 x BadRequestError" in (
        job.printed.err
    )
    assert len(job.rows("completions")) == 2


def test_rows_beyond_the_budget_do_not_count_as_failures(job):
    job.write(*questions(150, max_tokens=5))
    assert job.run("--fail_above", "0.1", "--max_total_tokens", "50") == 0
    assert job.report["rows"] == 150


# --- Order --------------------------------------------------------------------------------------


def answer_backwards(server):
    """Return a script that delays the first ten responses until others have been sent."""
    later = threading.Event()

    def script(request):
        if len(server.requests) > 20:
            later.set()
        if b"bad" in request.body:
            return api_error(400)
        held = [Wait(later)] if len(server.requests) <= 10 else []
        events = chat_events("x")
        return stream(*events[:1], *held, *events[1:])

    return script


def test_rows_come_out_in_the_order_of_the_input_files_by_name_then_lines(job):
    """Send the responses of earlier rows later."""
    job.server.script = answer_backwards(job.server)
    for name in ("b.jsonl", "a.jsonl"):
        rows = [{"id": f"{name} {n}", "prompt": "bad" if n % 5 == 4 else "x"} for n in range(20)]
        job.write(*rows, "nonsense", name=name)
    assert job.run("--keep_order", "--direct_runner_bundle_repeat=2", input="*.jsonl") == 0
    ids = [f"{name} {n}" for name in ("a.jsonl", "b.jsonl") for n in range(20)]
    assert list(job.rows("completions")) == [id for n, id in enumerate(ids) if n % 5 != 4]
    assert list(job.rows("failed-calls")) == [id for n, id in enumerate(ids) if n % 5 == 4]
    assert list(job.rows("failed-rows")) == ["a.jsonl:21", "b.jsonl:21"]


# --- The key in a file --------------------------------------------------------------------------


def test_the_key_in_a_file_is_sent_and_written_nowhere(job, caplog):
    path = job.folder / "key"
    path.write_text("sk-planted-in-a-file\n")
    job.write({"id": "a", "prompt": "x"})
    job.run("--api_key_file", str(path), "--emit_deltas")
    assert job.server.requests[0].headers["authorization"] == "Bearer sk-planted-in-a-file"
    written = b"".join(file.read_bytes() for file in job.out.rglob("*") if file.is_file())
    assert b"sk-planted" not in written
    assert "sk-planted" not in job.printed.out + job.printed.err + caplog.text
    assert b"sk-planted" not in pickle.dumps(NewClient(api_key_file=str(path)))


# --- Answers that break off ---------------------------------------------------------------------


def cut_once(request, seen):
    """Break off the first response to a prompt, then send another one in full."""
    text = request.json["messages"][-1]["content"]
    if text not in seen:
        seen.add(text)
        return stream(*chat_events("first half, never whole")[:3], Reset())
    return chat_stream(f"second {text}")


def test_a_response_that_broke_off_is_requested_again_and_leaves_no_text_in_the_completion(job):
    seen = set()
    job.server.script = lambda request: cut_once(request, seen)
    job.write(*questions(4))
    assert job.run("--emit_deltas") == 0
    for id, row in job.rows("completions").items():
        assert row["text"] == f"second question {id}"
        assert row["completion"]["choices"][0]["message"]["content"] == row["text"]
        assert row["attempts"] == 2
    lines = [
        orjson.loads(line)
        for file in job.out.glob("deltas-*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    for id in "0123":
        by_attempt = {n: [x for x in lines if (x["id"], x["attempt"]) == (id, n)] for n in (1, 2)}
        assert "".join(x["text"] for x in by_attempt[1]).startswith("first")
        assert not any(x["final"] for x in by_attempt[1])
        assert "".join(x["text"] for x in by_attempt[2]) == f"second question {id}"
        assert by_attempt[2][-1]["final"]


def test_a_response_that_breaks_off_can_be_a_failed_row_with_the_partial_text(job):
    seen = set()
    job.server.script = lambda request: cut_once(request, seen)
    job.write({"id": "a", "prompt": "x"})
    assert job.run("--on_interrupt", "fail", "--emit_deltas") == 1
    row = job.rows("failed")["a"]
    assert row["partial_text"].startswith("first")
    assert row["retryable"]
    assert len(job.server.requests) == 1


def test_a_response_that_broke_off_can_resume_from_the_partial_text(job):
    def script(request):
        last = request.json["messages"][-1]
        if last["role"] == "assistant":
            return chat_stream("and the rest")
        return stream(*chat_events("the beginning and the rest")[:3], Reset())

    job.server.script = script
    job.write({"id": "a", "prompt": "x"})
    flags = ["--model", "hosted_vllm/m", "--on_interrupt", "continue", "--emit_deltas"]
    assert job.run(*flags) == 0
    row = job.rows("completions")["a"]
    assert row["text"].startswith("the beginning ")
    assert row["text"].endswith("and the rest")
    assert job.server.requests[1].json["continue_final_message"] is True


def test_a_completion_that_max_tokens_cuts_off_is_continued_and_is_another_key(job):
    def script(request):
        if request.json["messages"][-1]["role"] == "assistant":
            return chat_stream("and the rest")
        return chat_stream("the beginning ", finish_reason="length")

    job.server.script = script
    job.write({"id": "a", "prompt": "x"})
    assert job.run("--model", "hosted_vllm/m") == 0
    assert job.rows("completions")["a"]["truncated"] is True
    flags = ["--model", "hosted_vllm/m", "--on_length", "continue"]
    assert job.run(*flags) == 0
    row = job.rows("completions")["a"]
    assert (row["text"], row["truncated"]) == ("the beginning and the rest", False)
    assert len(job.server.requests) == 3
    assert job.run(*flags) == 0
    assert len(job.server.requests) == 3


# --- The model on this machine ------------------------------------------------------------------


def test_a_job_with_all_rows_in_the_journal_starts_no_model(job, monkeypatch):
    started = []
    monkeypatch.setattr("pipelines.cli.model_checks.start_model", started.append)
    job.write({"id": "a", "prompt": "x"})
    argv = ["--input", str(job.folder / "in.jsonl"), "--output", str(job.out)]
    argv += ["--model", "local/gemma-3-270m", "--base_url", job.server.base_url]
    assert job.call(argv) == 0
    assert started == ["local/gemma-3-270m"]
    assert job.call(argv) == 0
    assert started == ["local/gemma-3-270m"]
    assert job.report["replayed"] == 1
