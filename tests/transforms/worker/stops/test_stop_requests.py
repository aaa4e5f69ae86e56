"""A reader stops an answer: its stream is closed, and the outcome has what has arrived."""

from __future__ import annotations

import asyncio

import apache_beam as beam
import orjson
from fake_server import Send, Stall, chat_events, stream

from transforms import CompletePrompts, Prompt
from transforms.journal.spec import NewJournal
from transforms.worker.stops.stop_requests import PENDING_SECONDS, Halt, StopRequests

# Beam copies closures. What a job of this process shares with its test is in the module.
HERE = StopRequests()
STOP_AT: list[str] = []
SEEN: dict[str, list] = {"deltas": [], "completions": [], "dead_letters": []}


def stops():
    return HERE


def see_delta(delta):
    SEEN["deltas"].append(delta)
    if delta.text in STOP_AT:
        HERE.stop(delta.id)


def see_completion(completion):
    SEEN["completions"].append(completion)


def see_letter(letter):
    SEEN["dead_letters"].append(letter)


def run(server, prompt, *stop_at, **options):
    """Return the completion of `prompt` and its deltas; it is stopped at one of these texts."""
    STOP_AT[:] = stop_at
    for seen in SEEN.values():
        seen.clear()
    options = {"base_url": server.base_url, "stops": stops, **options}
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = p | beam.Create([prompt], reshuffle=False)
        done = prompts | CompletePrompts("openai/m", emit_deltas=True, **options)
        done.deltas | "SeeDelta" >> beam.Map(see_delta)
        done.completions | "SeeCompletion" >> beam.Map(see_completion)
        done.dead_letters | "SeeLetter" >> beam.Map(see_letter)
    assert SEEN["dead_letters"] == []
    [completion] = SEEN["completions"]
    return completion, list(SEEN["deltas"])


HALF = [*chat_events(["Hello", " there"])[:3], Stall()]


def test_a_stopped_answer_has_its_text_and_usage_and_its_stream_is_closed(
    openai_at_hand, fake_server
):
    fake_server.enqueue(stream(*HALF))
    completion, deltas = run(fake_server, Prompt.of_text("Hi", "q"), " there")
    assert (completion.text, completion.finish_reason) == ("Hello there", "stopped")
    assert completion.prompt_tokens > 0
    assert completion.completion_tokens > 0
    assert orjson.loads(completion.completion)["usage_source"] == "estimated"
    assert [delta.seq for delta in deltas] == list(range(len(deltas)))
    assert "".join(delta.text for delta in deltas) == "Hello there"
    assert deltas[-1].final
    assert orjson.loads(deltas[-1].chunk)["choices"][0]["finish_reason"] == "stopped"
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    assert len(fake_server.requests) == 1


def test_the_journal_has_a_stopped_answer_and_the_prompt_is_not_sent_again(
    openai_at_hand, fake_server, tmp_path
):
    journal = NewJournal("auto", str(tmp_path))
    fake_server.enqueue(stream(*HALF))
    prompt = Prompt.of_text("Hi", "q")
    run(fake_server, prompt, " there", journal=journal)
    completion, _ = run(fake_server, prompt, journal=journal)
    assert (completion.text, completion.finish_reason) == ("Hello there", "stopped")
    assert completion.replayed
    assert len(fake_server.requests) == 1


def test_an_answer_is_stopped_before_its_first_chunk(openai_at_hand, fake_server):
    def script(request):
        HERE.stop("q")
        return stream(Send(b": thinking\n\n"), Stall())

    fake_server.script = script
    completion, deltas = run(fake_server, Prompt.of_text("Hi", "q"))
    assert (completion.text, completion.finish_reason) == ("", "stopped")
    assert [(delta.attempt, delta.seq, delta.final) for delta in deltas] == [(1, 0, True)]
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_a_prompt_that_is_stopped_before_it_begins_is_not_sent(openai_at_hand, fake_server):
    HERE.stop("q")
    completion, deltas = run(fake_server, Prompt.of_text("Hi", "q"))
    assert (completion.text, completion.finish_reason) == ("", "stopped")
    assert completion.total_tokens == 0
    assert [(delta.attempt, delta.seq, delta.final) for delta in deltas] == [(1, 0, True)]
    assert fake_server.requests == []


def test_a_request_holds_for_one_prompt_and_for_a_minute():
    now = [0.0]

    async def enter(requests, id):
        halt = requests.enter(id)
        requests.leave(id, halt)
        return halt.is_halted

    requests = StopRequests(lambda: now[0])
    requests.stop("a")
    requests.stop("b")
    assert asyncio.run(enter(requests, "a"))
    assert not asyncio.run(enter(requests, "a"))
    assert not asyncio.run(enter(requests, "other"))
    now[0] = PENDING_SECONDS
    assert not asyncio.run(enter(requests, "b"))


def test_a_halt_ends_a_wait_and_no_other_cancellation_is_lost():
    async def halted():
        halt = Halt()
        asyncio.get_running_loop().call_soon(halt.halt)
        assert await halt.result(asyncio.sleep(60)) is None
        assert await halt.result(asyncio.sleep(60)) is None
        await asyncio.sleep(0)  # the task itself goes on

    async def cancelled():
        task = asyncio.create_task(halted_and_cancelled())
        await asyncio.sleep(0)
        task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    async def halted_and_cancelled():
        await Halt().result(asyncio.sleep(60))

    asyncio.run(halted())
    assert isinstance(asyncio.run(cancelled()), asyncio.CancelledError)


def test_a_result_that_has_come_is_not_taken_back():
    async def come():
        halt = Halt()
        value = await halt.result(asyncio.sleep(0, "here"))
        halt.halt()
        return value

    assert asyncio.run(come()) == "here"
