"""`CompletePrompts(answer=Answer(...))`: completions have valid answers, on every path."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import Stall, chat_events, chat_stream, stream

pytest.importorskip("jsonschema_rs")

from ritellm import Answer
from transforms import (
    AssembleCompletions,
    AssembleRecords,
    CompletePrompts,
    Prompt,
    StreamCompletions,
    StreamRecords,
)
from transforms.journal import NewJournal

ANSWER = Answer("label:enum(good,bad)")
GOOD, UGLY = '{"label": "good"}', '{"label": "ugly"}'


def pipeline():
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def complete(server, **options):
    options = {"base_url": server.base_url, "answer": ANSWER, **options}
    return CompletePrompts("openai/m", **options)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")


def prompts(p, *ids):
    return p | beam.Create([Prompt.of_text("good or bad?", id) for id in ids])


def test_a_completion_has_its_answer_as_a_value(fake_server):
    fake_server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    with pipeline() as p:
        done = prompts(p, "a") | complete(fake_server)
        found = done.completions | beam.Map(lambda row: (row.id, row.answer, row.attempts))
        assert_that(found, equal_to([("a", {"label": "good"}, 2)]))


def test_deltas_with_an_answer_assemble_to_the_valid_one(fake_server):
    fake_server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    with pipeline() as p:
        done = prompts(p, "a") | complete(fake_server, emit_deltas=True)
        whole = done.deltas | AssembleCompletions()
        found = whole.completions | beam.Map(lambda row: (row.answer, row.text, row.attempts))
        assert_that(found, equal_to([({"label": "good"}, GOOD, 2)]))


def test_an_answer_from_the_journal_has_its_deltas_and_its_value(fake_server, tmp_path):
    fake_server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    journal = NewJournal(f"sqlite:{tmp_path / 'journal'}", str(tmp_path))
    for _ in range(2):
        with pipeline() as p:
            done = prompts(p, "a") | complete(fake_server, emit_deltas=True, journal=journal)
            found = done.completions | beam.Map(lambda row: row.answer)
            assert_that(found, equal_to([{"label": "good"}]), "Completions")
            whole = (done.deltas | AssembleCompletions()).completions
            assert_that(whole | beam.Map(lambda row: row.answer), equal_to([{"label": "good"}]))
    assert len(fake_server.requests) == 2


def test_a_stopped_answer_ends_no_text_of_its_deltas(fake_server):
    fake_server.enqueue(stream(*chat_events(UGLY + " and more")[:5], Stall()), chat_stream(GOOD))
    with pipeline() as p:
        done = prompts(p, "a") | complete(fake_server, emit_deltas=True)
        final = done.deltas | beam.Filter(lambda delta: delta.final)
        found = final | beam.Map(lambda delta: delta.attempt)
        assert_that(found, equal_to([2]))


def test_a_prompt_whose_messages_are_wrong_fails_as_without_an_answer(fake_server):
    with pipeline() as p:
        rows = p | beam.Create([Prompt("a", '{"messages": 5}'), Prompt("b", "nonsense")])
        done = rows | complete(fake_server)
        found = done.dead_letters | beam.Map(lambda letter: (letter.id, letter.error_type))
        wanted = [("a", "InvalidRequestError"), ("b", "InvalidRequestError")]
        assert_that(found, equal_to(wanted))


def streamed(server, **options):
    options = {"base_url": server.base_url, "answer": ANSWER, **options}
    return StreamCompletions("openai/m", **options)


def test_a_further_request_is_a_further_attempt_of_the_deltas(fake_server):
    fake_server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    with pipeline() as p:
        done = prompts(p, "a") | streamed(fake_server)
        finals = (
            done.deltas | beam.Filter(lambda delta: delta.final) | beam.Map(lambda d: d.attempt)
        )
        assert_that(finals, equal_to([2]), "Finals")
        names = done.deltas | beam.Map(lambda d: d.submission) | beam.Distinct()
        assert_that(names | beam.combiners.Count.Globally(), equal_to([1]), "OneSubmission")
        whole = (done.deltas | AssembleCompletions()).completions
        found = whole | beam.Map(lambda row: (row.answer, row.text, row.attempts))
        assert_that(found, equal_to([({"label": "good"}, GOOD, 2)]), "Whole")
        assert_that(done.dead_letters, equal_to([]), "Failed")


def test_a_stream_without_a_valid_answer_has_no_final_delta(fake_server):
    fake_server.enqueue(*[chat_stream(UGLY)] * 3)
    with pipeline() as p:
        done = prompts(p, "a") | streamed(fake_server)
        finals = done.deltas | beam.Filter(lambda delta: delta.final)
        assert_that(finals, equal_to([]), "Finals")
        attempts = done.deltas | beam.Map(lambda d: d.attempt) | beam.Distinct()
        assert_that(attempts, equal_to([1, 2, 3]), "Attempts")
        letters = done.dead_letters | beam.Map(lambda each: (each.error_type, each.attempts))
        assert_that(letters, equal_to([("AnswerInvalid", 3)]), "Letters")


def test_records_of_a_rejected_answer_are_replaced(fake_server):
    rivers = Answer({"type": "object", "properties": {"items": {"items": {"type": "integer"}}}})
    fake_server.enqueue(chat_stream('{"items": [1, 2, "x"]}'), chat_stream('{"items": [3, 4]}'))
    with pipeline() as p:
        model = StreamRecords("openai/m", base_url=fake_server.base_url, answer=rivers)
        done = prompts(p, "a") | model
        whole = (done.records | AssembleRecords()).records
        found = whole | beam.Map(lambda row: (row.attempt, row.index, row.value))
        assert_that(found, equal_to([(2, 0, "3"), (2, 1, "4")]), "Whole")
        assert_that(done.dead_letters, equal_to([]), "Failed")


def test_the_console_of_the_runner_shows_the_columns():
    shown = CompletePrompts("openai/m", answer=ANSWER, api_key_env="X").display_data()
    assert (shown["answer"], shown["reasks"]) == ("label", 2)
