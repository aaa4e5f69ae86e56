"""How long a job waits for an answer: what --timeout means, what of it arrives, what counts."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import httpx
import pytest
from batch_job import Job
from fake_server import Pause, Stall, chat_events, stream

from pipelines import batch_complete, stream_complete
from pipelines.cli.flags.model import completion_options
from pipelines.cli.flags.timeout import parse
from pipelines.errors import UsageError
from ritellm import AsyncClient, InvalidRequestError, RateLimitError, Timeouts
from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.errors import InternalServerError, ServiceUnavailableError
from ritellm.rate_limits.pace import Limits
from transforms import CompletePrompts

MODEL = "openai/m"
MESSAGES = [{"role": "user", "content": "hello"}]
HOUR = 3600.0


# --- What the flag means --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Timeouts(10.0, 300.0, 120.0, HOUR)),
        ("20", Timeouts(20.0, 20.0, 20.0, HOUR)),  # as `completion(timeout=20)`, but for total
        ("0.5", Timeouts(0.5, 0.5, 0.5, HOUR)),
        ("2700", Timeouts(2700.0, 2700.0, 2700.0, 5400.0)),
        ("connect=1,first_chunk=2,inter_chunk=3,total=4", Timeouts(1.0, 2.0, 3.0, 4.0)),
        ("first_chunk=600", Timeouts(10.0, 600.0, 120.0, HOUR)),
        ("first_chunk=7200", Timeouts(10.0, 7200.0, 120.0, 14400.0)),
        ("first_chunk=7200,total=60", Timeouts(10.0, 7200.0, 120.0, 60.0)),
        (" total = 60 , connect=none", Timeouts(None, 300.0, 120.0, 60.0)),
        ("30,total=90", Timeouts(30.0, 30.0, 30.0, 90.0)),
        ("total=90,30", Timeouts(30.0, 30.0, 30.0, 90.0)),
        ("first_chunk=none", Timeouts(10.0, None, 120.0, HOUR)),
        ("total=none", Timeouts(10.0, 300.0, 120.0, None)),
        ("none", Timeouts(None, None, None, None)),
        ("none,inter_chunk=5", Timeouts(None, None, 5.0, None)),
    ],
)
def test_the_flag_takes_seconds_or_parts_or_both(text, expected):
    assert parse(text) == expected


NOT_SECONDS = "must be a positive number of seconds or none, got"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["0"], f"the timeout {NOT_SECONDS} '0'"),
        (["-5"], f"the timeout {NOT_SECONDS} '-5'"),
        (["soon"], f"the timeout {NOT_SECONDS} 'soon'"),
        ([""], f"the timeout {NOT_SECONDS} ''"),
        (["nan"], f"the timeout {NOT_SECONDS} 'nan'"),
        (["inf"], f"the timeout {NOT_SECONDS} 'inf'"),
        (["total=0"], f"total {NOT_SECONDS} '0'"),
        (["total="], f"total {NOT_SECONDS} ''"),
        (["connect=1,"], f"the timeout {NOT_SECONDS} ''"),
        (["firstchunk=9"], "got 'firstchunk'; did you mean first_chunk?"),
        (["x=9"], "the part must be one of connect, first_chunk, inter_chunk, total, got 'x'"),
        (["total=1,total=2"], "total must be given once, got it twice"),
        (["1,2"], "a plain number must be given once, got it twice"),
        (["total=1", "total=2"], "total must be given once, got it twice"),
    ],
)
@pytest.mark.parametrize("program", [batch_complete, stream_complete])
def test_a_wrong_timeout_is_refused_in_one_sentence(program, flags, said):
    with pytest.raises(UsageError) as refusal:
        program.parser().parse_args([f"--timeout={flag}" for flag in flags])
    (line,) = str(refusal.value).splitlines()
    assert line.startswith("argument --timeout: ")
    assert said in line


@pytest.mark.parametrize(
    ("program", "required"),
    [(batch_complete, ["--input=i", "--output=o"]), (stream_complete, ["--source=stdin"])],
)
def test_both_programs_send_with_the_timeouts_of_all_flags(program, required):
    flags = ["--timeout", "connect=1,first_chunk=2", "--timeout=inter_chunk=3,total=4"]
    known_args = program.parser().parse_args([*required, *flags])
    assert completion_options(known_args)["timeout"] == Timeouts(1.0, 2.0, 3.0, 4.0)
    assert completion_options(program.parser().parse_args(required))["timeout"].total == HOUR
    assert "total: the time for all attempts" in " ".join(program.parser().format_help().split())


# --- What a job asks with -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Timeouts(total=HOUR)),
        ({"timeout": None}, Timeouts(total=HOUR)),
        ({"timeout": 30}, Timeouts(30, 30, 30, HOUR)),
        ({"request_timeout": 30}, Timeouts(30, 30, 30, HOUR)),
        ({"timeout": httpx.Timeout(30, connect=5)}, Timeouts(5, 30, 30, HOUR)),
        ({"timeout": Timeouts(total=9)}, Timeouts(total=9)),
        ({"timeout": Timeouts()}, Timeouts()),  # said in full: no total
    ],
)
def test_a_transform_has_a_total_unless_timeouts_say_otherwise(given, expected):
    made = pickle.loads(pickle.dumps(CompletePrompts(MODEL, **given)))
    assert made._completer.params["timeout"] == expected


def test_a_new_client_keeps_its_own_timeouts():
    assert "timeout" not in CompletePrompts(MODEL, new_client=AsyncClient)._completer.params
    made = CompletePrompts(MODEL, new_client=AsyncClient, timeout=5)
    assert made._completer.params["timeout"] == Timeouts(5, 5, 5, HOUR)


def test_an_invalid_timeout_is_refused_when_the_job_is_built():
    with pytest.raises(InvalidRequestError, match="timeout must be a number of seconds above 0"):
        CompletePrompts(MODEL, timeout=-1)


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    return Job(fake_server, tmp_path, capsys)


def test_a_row_whose_first_chunk_is_late_is_sent_again(job):
    job.server.enqueue(stream(Stall()))
    job.write({"id": "a", "prompt": "x"}).run("--timeout=first_chunk=0.05")
    assert job.rows("completions")["a"]["text"] == "x"
    assert job.rows("completions")["a"]["attempts"] > 1


def test_a_row_whose_response_stalls_is_a_failed_row_with_on_interrupt_fail(job):
    job.server.script = lambda r: stream(*chat_events("one two")[:2], Stall())
    flags = ["--timeout=inter_chunk=0.05", "--on_interrupt=fail"]
    job.write({"id": "a", "prompt": "x"}).run(*flags)
    row = job.rows("failed")["a"]
    assert (row["error_type"], row["partial_text"]) == ("Timeout", "one ")
    assert "the inter_chunk timeout of 0.05 s ran out" in row["message"]


def test_an_endless_trickle_ends_at_the_total_timeout(job):
    """Chunks arrive continuously, so the other bounds do not apply.

    Within a second the first chunk arrives on a busy machine too.
    """
    piece, trickle = chat_events(["on and on "])[1], []
    for _ in range(4000):
        trickle += [piece, Pause(0.005)]
    job.server.script = lambda r: stream(*trickle)
    job.write({"id": "a", "prompt": "x"}).run("--timeout=total=1")
    row = job.rows("failed")["a"]
    assert (row["error_type"], row["attempts"], row["retryable"]) == ("Timeout", 1, False)
    assert "the total timeout of 1 s ran out" in row["message"]
    assert row["partial_text"].startswith("on and on ")


# --- What counts as total -------------------------------------------------------------------------


def call_of(**limits):
    """Return a call behind a gate, made at 0, on a clock that the test sets."""
    never = dict.fromkeys(("connect", "first_chunk", "inter_chunk", "total"))
    made = plan(MODEL, MESSAGES, {}, api_key="k", stream=True, on_interrupt="restart",
                timeout=Timeouts(**(never | limits)))  # fmt: skip
    return Call(
        made, 0.0, SimpleNamespace(limits=Limits(give_up_after=600.0), has_reached=lambda _: True)
    )


def attempt(call, begins, ends, error=None):
    """Let one attempt go from `begins` to `ends`; return the delay before the next."""
    exchange = call.start(call.plan.endpoint, begins)
    if error is None:
        return 0.0
    exchange.receive_failure(error)
    return call.retry_delay(ends, jitter=0.0)


REFUSALS = [RateLimitError("busy"), ServiceUnavailableError("busy")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_waiting_for_rate_limits_does_not_count_towards_the_total(refusal):
    call = call_of(total=10.0)
    call.excuse_wait(100.0)
    assert call.deadline == (110.0, "total")
    now = 100.0
    for _ in range(5):
        delay = attempt(call, now, now + 1.0, refusal)
        call.excuse_wait(50.0)
        now += 1.0 + delay + 50.0
    call.start(call.plan.endpoint, now)
    assert call.deadline == (pytest.approx(now + 10.0), "total")


def test_failed_attempts_and_the_pauses_between_them_count_towards_the_total():
    call = call_of(total=10.0)
    delay = attempt(call, 0.0, 4.0, InternalServerError("broken", retryable=True))
    assert delay > 0
    call.excuse_wait(50.0)
    call.start(call.plan.endpoint, 54.0 + delay)
    assert call.deadline == (60.0, "total")


def test_a_refusal_in_the_middle_of_a_response_counts_towards_the_total():
    call = call_of(total=100.0)
    exchange = call.start(call.plan.endpoint, 0.0)
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    call.receive_data(chat_events("one two")[0], 50.0)
    exchange.receive_failure(RateLimitError("busy"))
    rest = call.retry_delay(60.0, jitter=0.0)
    call.start(call.plan.endpoint, 60.0 + rest)
    assert call.deadline == (100.0 + rest, "total")


def test_only_throttling_counts_towards_give_up_after():
    """A response that broke off after half an hour was not throttled for half an hour."""
    call = call_of()
    delay = attempt(call, 0.0, 1800.0, InternalServerError("broken", retryable=True))
    assert attempt(call, 1800.0 + delay, 1801.0 + delay, RateLimitError("busy")) < 1.0
    with pytest.raises(RateLimitError, match="gave up after 602 s of throttling"):
        attempt(call, 2400.0 + delay, 2402.0 + delay, RateLimitError("busy"))
