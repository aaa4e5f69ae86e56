"""Waste: every attempt that was accepted and discarded is counted."""

from __future__ import annotations

import asyncio
import pickle

import httpx
import orjson
import pytest
from batch_job import Job
from dialect_samples import typed
from fake_server import Close, Stall, api_error, chat_events, chat_stream, sse, sse_error, stream

import ritellm
from ritellm import RetryPolicy
from ritellm.errors import RitellmError, StreamTruncatedError
from ritellm.prices import PRICES
from ritellm.types import Completion, Discarded
from transforms.budget.accounts import Caps
from transforms.budget.bill import budgeted
from transforms.budget.ledger import Ledger
from transforms.budget.waste import Waste
from transforms.journal.base import Spent
from transforms.worker.capacity.room import Room
from transforms.worker.prompt_run import PromptRun

MODEL = "openai/gpt-5"
MESSAGES = [{"role": "user", "content": "Hi"}]
EVENTS = chat_events("one two three")
HALF = [*EVENTS[:3], Close()]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


# --- The attempts of a stream or an error -------------------------------------------------------


def ask(server, model="openai/m", **arguments):
    return ritellm.completion(
        model,
        MESSAGES,
        stream=True,
        base_url=server.base_url,
        api_key="k",
        retry=RetryPolicy(first_delay=0.0),
        **{"on_interrupt": "restart", **arguments},
    )


async def ask_async(server, **arguments):
    options = {"base_url": server.base_url, "api_key": "k", "on_interrupt": "restart"}
    retry = RetryPolicy(first_delay=0.0)
    async with ritellm.AsyncClient(**options, retry=retry) as client:
        opened = await client.completion("openai/m", MESSAGES, stream=True, **arguments)
        await opened.read()
        return opened


def texts(discarded):
    return [each.completion["choices"][0]["message"]["content"] for each in discarded]


@pytest.mark.parametrize("face", ["synchronous", "asynchronous"])
def test_a_stream_lists_its_discarded_attempts(fake_server, face):
    fake_server.enqueue(stream(*HALF), stream(*EVENTS[:2], Close()), chat_stream("fine"))
    if face == "synchronous":
        opened = ask(fake_server)
        list(opened)
    else:
        opened = asyncio.run(ask_async(fake_server))
    assert texts(opened.discarded) == ["one two ", "one "]
    assert {each.model for each in opened.discarded} == {"openai/m"}
    assert not any(each.counted or each.kept for each in opened.discarded)
    assert texts(opened.as_discarded()) == ["one two ", "one ", "fine"]
    assert opened.as_discarded()[-1].counted


@pytest.mark.parametrize(
    "refusal",
    [api_error(503), api_error(429), api_error(500), sse_error("overloaded_error")],
    ids=["503", "429", "500", "first event"],
)
def test_a_refused_attempt_is_not_billed(fake_server, refusal):
    fake_server.enqueue(refusal, chat_stream("fine"))
    opened = ask(fake_server)
    list(opened)
    assert opened.attempts == 2
    assert opened.discarded == []


def test_an_accepted_attempt_that_broke_before_its_first_chunk_is_billed(fake_server):
    fake_server.enqueue(stream(b": soon\n\n", Close()), chat_stream("fine"))
    opened = ask(fake_server)
    list(opened)
    [lost] = opened.discarded
    assert (lost.completion["choices"], lost.completion["usage"]) == ([], None)


@pytest.mark.parametrize(
    ("failure", "billed"),
    [
        (httpx.ConnectError("refused"), 0),
        (httpx.ConnectTimeout("late"), 0),
        (httpx.WriteTimeout("late"), 0),
        (httpx.ReadTimeout("late"), 1),
    ],
)
def test_a_request_that_timed_out_at_the_provider_is_billed(failure, billed):
    answers = iter([failure, None])

    def answer(request):
        if error := next(answers):
            raise error
        kind = {"content-type": "text/event-stream"}
        return httpx.Response(200, content=b"".join(chat_events("fine")), headers=kind)

    with ritellm.Client(transport=httpx.MockTransport(answer), base_url="http://x/v1") as client:
        retry = RetryPolicy(first_delay=0.0)
        opened = client.completion("openai/m", MESSAGES, stream=True, api_key="k", retry=retry)
        assert opened.read()["choices"][0]["message"]["content"] == "fine"
    assert len(opened.discarded) == billed


def test_an_error_lists_all_attempts_and_marks_the_one_in_its_partial(fake_server):
    fake_server.enqueue(*[stream(*HALF)] * 3)
    with pytest.raises(RitellmError) as caught:
        list(ask(fake_server))
    error = pickle.loads(pickle.dumps(caught.value))
    assert [each.kept for each in error.discarded] == [False, False, True]
    assert error.discarded[-1].completion == error.partial


def test_the_prompt_tokens_of_a_broken_anthropic_attempt_are_known(fake_server):
    start = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "c"}
    message = {**start, "usage": {"input_tokens": 9, "output_tokens": 1}}
    begun = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    ]
    end = [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    fake_server.enqueue(stream(typed(begun[0]), Close()), stream(typed(*begun), Close()))
    fake_server.enqueue(stream(typed(*begun, *end)))
    opened = ask(fake_server, "anthropic/claude-opus-5", max_tokens=5)
    list(opened)
    first, second = opened.discarded
    assert first.completion["usage"]["prompt_tokens"] == 9
    assert (first.counted, second.counted) == (True, False)


# --- The sum ------------------------------------------------------------------------------------


def lost(text="", usage=None, *, counted=False, kept=False, model=MODEL, **top):
    choices = [{"index": 0, "message": {"content": text}}] if text else []
    return Discarded(model, Completion(choices=choices, usage=usage, **top), counted, kept)


def waste(*attempts, **body):
    made = Waste({}, {"messages": MESSAGES, **body}, PRICES)
    made.add(attempts)
    return made


PROMPT = waste(lost()).columns.wasted_tokens  # estimated


def test_the_counts_of_the_provider_are_exact():
    columns = waste(lost("x" * 9000, USAGE, counted=True)).columns
    assert columns == (1200, pytest.approx((1000 * 1.25 + 200 * 10) / 1e6), False)


def test_without_counts_prompt_and_text_are_estimated_and_marked():
    columns = waste(lost("x" * 300)).columns
    assert PROMPT > 5
    assert columns == (PROMPT + 100, pytest.approx((PROMPT * 1.25 + 1000) / 1e6), True)


def test_tool_calls_and_reasoning_are_received_text():
    call = {"id": "", "type": "", "function": {"name": "", "arguments": "x" * 30}}
    message = {"content": None, "reasoning_content": "y" * 60, "tool_calls": [call]}
    completion = Completion(choices=[{"index": 0, "message": message}], usage=None)
    assert waste(Discarded(MODEL, completion, False)).columns.wasted_tokens == PROMPT + 30


def test_a_count_from_the_beginning_leaves_only_the_text_to_be_estimated():
    counted = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    columns = waste(lost("x" * 300, counted)).columns
    assert columns[::2] == (1100, True)


def test_only_tokens_outside_the_usage_of_a_kept_attempt_are_wasted():
    counted = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    columns = waste(lost("x" * 300, counted, kept=True)).columns
    assert columns == (99, pytest.approx(99 * 10 / 1e6), True)
    assert waste(lost("x" * 300, USAGE, counted=True, kept=True)).columns == (0, 0.0, False)


@pytest.mark.parametrize(
    ("attempt", "factor"),
    [
        (lost("x", USAGE, counted=True, service_tier="flex"), 0.5),
        (lost("x", USAGE, counted=True), 1),
        (lost("x", USAGE, counted=True, service_tier="scale"), None),
    ],
)
def test_waste_is_priced_by_its_tier(attempt, factor):
    usd = waste(attempt).columns.wasted_cost_usd
    assert usd == (factor and pytest.approx(factor * 0.00325))


def test_an_attempt_without_a_response_is_priced_by_the_requested_tier():
    listed, flex = waste(lost()), waste(lost(), service_tier="flex")
    assert flex.columns.wasted_cost_usd == pytest.approx(listed.columns.wasted_cost_usd / 2)


def test_the_budget_takes_the_larger_of_counted_and_estimated():
    assert waste(lost("x" * 9000, USAGE, counted=True)).spent.tokens == 1000 + 3000
    assert waste(lost("x", USAGE, counted=True)).spent == Spent(1200, pytest.approx(0.00325))
    scale = waste(lost("x", USAGE, counted=True, service_tier="scale")).spent
    assert scale.usd == pytest.approx(2 * 0.00325)  # the dearest that is known


# --- The budget ---------------------------------------------------------------------------------


def spent_by(error=None, usage=None, *attempts):
    """Return the cost of a prompt of a hundred thousand tokens with this end."""
    ledger = Ledger(Caps(tokens=100_000))

    async def go():
        made = waste(*attempts)
        request = {"messages": MESSAGES, "max_tokens": 10}
        async with budgeted(ledger, None, MODEL, request, made) as bill:
            if error is not None:
                raise error
            await bill.settled(usage)

    try:
        asyncio.run(go())
    except RitellmError:
        pass
    return ledger.spent().tokens


def test_waste_is_charged_with_the_response():
    assert spent_by(None, USAGE, lost("x" * 300)) == 1200 + PROMPT + 100


def test_waste_is_charged_when_the_prompt_fails():
    broken = StreamTruncatedError("cut", partial=Completion(usage=USAGE))
    assert spent_by(broken, None, lost("x" * 300)) == 1200 + PROMPT + 100
    refused = RitellmError("no")
    assert spent_by(refused, None, lost("x" * 300)) == PROMPT + 100
    assert spent_by(refused, None) == 0


@pytest.mark.parametrize(("length", "tokens"), [(3, PROMPT + 10), (300, PROMPT + 100)])
def test_a_broken_response_without_counts_costs_at_least_its_reservation(length, tokens):
    text = "x" * length
    broken = StreamTruncatedError("cut", partial=Completion(usage=None, choices=[]))
    assert spent_by(broken, None, lost(text, kept=True)) == tokens


# --- A second request that lost -----------------------------------------------------------------


def test_a_hedge_that_failed_counts_with_all_its_attempts():
    error = StreamTruncatedError("cut")
    error.discarded = (lost("x" * 30), lost("y" * 60, USAGE, counted=True, kept=True))
    made = waste()

    async def give_up(lost_against_another):
        async with Room(1).place() as place:
            run = PromptRun(None, None, None, None, 0, place, made)
            await run.give_up(lost_against_another)

    asyncio.run(give_up(error))
    assert made.columns.wasted_tokens == PROMPT + 10 + 1200
    asyncio.run(give_up(asyncio.CancelledError()))
    assert made.columns.wasted_tokens == PROMPT + 10 + 1200


# --- In a job -----------------------------------------------------------------------------------


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on lines of input; returns its outcome."""
    return Job(fake_server, tmp_path, capsys)


def test_rows_report_and_summary_show_the_waste(job):
    job.server.enqueue(stream(*HALF), chat_stream("fine"))
    job.write({"id": "a", "prompt": "x"})
    job.run("--model", MODEL)
    row, report = job.rows("completions")["a"], job.report
    assert row["text"] == "fine"
    assert row["wasted_tokens"] > 0
    assert row["wasted_cost_usd"] > 0
    assert row["waste_estimated"] is True
    assert report["wasted"] == {
        "tokens": row["wasted_tokens"],
        "cost_usd": row["wasted_cost_usd"],
        "rows": 1,
        "estimated": True,
    }
    assert f"wasted: about {row['wasted_tokens']} tokens" in job.printed.out
    job.run("--model", MODEL)
    assert job.report["wasted"]["tokens"] == 0  # an earlier run's
    assert "wasted" not in job.printed.out


def test_a_failed_row_has_its_waste_apart_from_its_usage(job):
    counted = [*EVENTS[:2], sse({"choices": [], "usage": USAGE})]
    job.server.enqueue(stream(*counted, Close()))
    job.server.enqueue(sse_error("invalid_request_error", after=counted))
    job.write({"id": "a", "prompt": "x"})
    job.run("--model", MODEL)
    row = job.rows("failed")["a"]
    assert (row["attempts"], row["usage"]["total_tokens"]) == (2, 1200)
    assert (row["wasted_tokens"], row["waste_estimated"]) == (1200, False)
    assert row["wasted_cost_usd"] == row["cost_usd"] == pytest.approx(0.00325)


def test_a_late_request_that_lost_is_wasted(job):
    job.server.enqueue(stream(Stall()), chat_stream("fine"))
    job.write({"id": "a", "prompt": "x"})
    job.run("--model", MODEL, "--hedge_after", "0.01")
    row = job.rows("completions")["a"]
    assert (row["text"], row["attempts"]) == ("fine", 1)
    assert row["wasted_tokens"] > 0
    assert row["waste_estimated"] is True


def test_deltas_carry_the_waste_to_the_assembled_completion(job):
    job.server.enqueue(stream(*HALF), chat_stream("fine"))
    job.write({"id": "a", "prompt": "x"})
    job.run("--model", MODEL, "--emit_deltas")
    [final] = [
        row
        for file in job.out.glob("deltas-*.jsonl")
        for row in map(orjson.loads, file.read_bytes().splitlines())
        if row["final"]
    ]
    row = job.rows("completions")["a"]
    assert final["outcome"]["wasted_tokens"] == row["wasted_tokens"] > 0
