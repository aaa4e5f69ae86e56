"""A reader stops a checked answer: it is not asked for again, and has no value."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from fake_server import Stall, chat_events, chat_stream, stream

pytest.importorskip("jsonschema_rs")

from ritellm import Answer
from transforms import CompletePrompts, Prompt
from transforms.journal.spec import NewJournal
from transforms.serialization import completion_row
from transforms.worker.stops.stop_requests import StopRequests

# Beam copies closures. What a job of this process shares with its test is in the module.
HERE = StopRequests()
SEEN: dict[str, list] = {}
ANSWER = Answer("label:enum(good,bad)")
UGLY, HALF = '{"label": "ugly"}', ['{"label"', ': "go']


def stops():
    return HERE


def see_delta(delta):
    SEEN["deltas"].append(delta)
    if delta.text == HALF[1]:
        HERE.stop(delta.id)


def run(server, **options):
    """Return the completion of a prompt and its deltas; it is stopped in the middle of a value."""
    SEEN.update(deltas=[], completions=[], dead_letters=[])
    options = {"base_url": server.base_url, "stops": stops, "answer": ANSWER, **options}
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = p | beam.Create([Prompt.of_text("good or bad?", "q")], reshuffle=False)
        done = prompts | CompletePrompts("openai/m", emit_deltas=True, **options)
        done.deltas | "SeeDelta" >> beam.Map(see_delta)
        done.completions | "SeeCompletion" >> beam.Map(see_completion)
        done.dead_letters | "SeeLetter" >> beam.Map(see_letter)
    assert SEEN["dead_letters"] == []
    [completion] = SEEN["completions"]
    return completion, list(SEEN["deltas"])


def see_completion(completion):
    SEEN["completions"].append(completion)


def see_letter(letter):
    SEEN["dead_letters"].append(letter)


def halves():
    return stream(*chat_events(HALF)[:3], Stall())


def test_a_stopped_answer_has_its_text_and_no_value_and_is_not_asked_for_again(
    openai_at_hand, fake_server
):
    fake_server.enqueue(halves())
    completion, deltas = run(fake_server)
    assert (completion.text, completion.finish_reason) == ("".join(HALF), "stopped")
    assert completion.answer is None
    assert completion_row(completion)["finish_reason"] == "stopped"
    assert completion.completion_tokens > 0
    assert deltas[-1].final
    closing = orjson.loads(deltas[-1].chunk)
    assert closing["choices"][0]["finish_reason"] == "stopped"
    assert closing["usage"]["total_tokens"] == completion.total_tokens
    assert "answer" not in orjson.loads(deltas[-1].outcome)
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    assert len(fake_server.requests) == 1


def test_an_answer_is_stopped_while_it_is_asked_for_again(openai_at_hand, fake_server):
    fake_server.enqueue(chat_stream(UGLY), halves())
    completion, deltas = run(fake_server)
    assert (completion.text, completion.attempts) == ("".join(HALF), 2)
    usage = orjson.loads(completion.completion)["usage"]
    assert usage["total_tokens"] == completion.total_tokens
    final = deltas[-1]
    assert (final.final, final.attempt) == (True, 2)
    assert orjson.loads(final.chunk)["usage"]["total_tokens"] == completion.total_tokens
    assert len(fake_server.requests) == 2


def test_the_journal_has_the_stopped_answer(openai_at_hand, fake_server, tmp_path):
    journal = NewJournal("auto", str(tmp_path))
    fake_server.enqueue(chat_stream(UGLY), halves())
    first, _ = run(fake_server, journal=journal)
    again, deltas = run(fake_server, journal=journal)
    assert (again.text, again.finish_reason, again.answer) == ("".join(HALF), "stopped", None)
    assert again.replayed
    assert again.total_tokens == first.total_tokens
    assert [delta.final for delta in deltas] == [False, True]
    assert len(fake_server.requests) == 2


def test_a_prompt_that_is_stopped_before_it_begins_is_not_sent(openai_at_hand, fake_server):
    HERE.stop("q")
    completion, deltas = run(fake_server)
    assert (completion.text, completion.finish_reason) == ("", "stopped")
    assert (completion.answer, completion.total_tokens) == (None, 0)
    assert [(delta.attempt, delta.seq, delta.final) for delta in deltas] == [(1, 0, True)]
    assert fake_server.requests == []
