"""Records in a pipeline: from prompts to the records of whole answers."""

from __future__ import annotations

import threading

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import FixedWindows
from fake_server import Reset, Stall, Wait, api_error, chat_events, chat_stream, stream
from job_coders import output_coders

from transforms import AssembleRecords, Prompt, Record, StreamRecords
from transforms.journal import NewJournal
from transforms.worker.stops.stop_conditions import StopWhen

pytest.importorskip("jsonschema_rs")

ITEMS = '{"items": [{"n": 1}, {"n": 2}, {"n": "x"}]}'
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def pipeline(*flags):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompts(p, *ids):
    request = {"messages": [{"role": "user", "content": "List."}]}
    rows = [Prompt(id, orjson.dumps(request).decode(), f'{{"row": "{id}"}}') for id in ids]
    return p | "Prompts" >> beam.Create(rows).with_output_types(Prompt)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def transform(server, **options):
    return StreamRecords("openai/m", SCHEMA, base_url=server.base_url, timeout=5, **options)


def told(records):
    return records | beam.Map(lambda r: (r.id, r.attempt, r.index, r.value, r.valid, r.final))


def test_each_element_of_an_answer_becomes_a_record(fake_server):
    fake_server.script = lambda request: stream(*chat_events(ITEMS))
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server)
        assert_that(
            told(out.records),
            equal_to(
                [
                    ("a", 1, 0, '{"n": 1}', True, False),
                    ("a", 1, 1, '{"n": 2}', True, False),
                    ("a", 1, 2, '{"n": "x"}', False, False),
                    ("a", 1, 3, None, True, True),
                ]
            ),
        )
        assert_that(out.incomplete, equal_to([]), label="incomplete")
        assert_that(out.dead_letters, equal_to([]), label="dead letters")


def test_records_of_an_interrupted_attempt_never_reach_a_whole_answer(fake_server):
    half = chat_events(['{"items": [{"n": 7}, {"n": 8},', ' {"n"'])[:-3]
    replies = iter([stream(*half, Reset()), stream(*chat_events(ITEMS))])
    fake_server.script = lambda request: next(replies)
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server)
        whole = out.records | AssembleRecords()
        values = whole.records | beam.Map(lambda r: (r.attempt, r.index, r.value))
        expected = [(2, 0, '{"n": 1}'), (2, 1, '{"n": 2}'), (2, 2, '{"n": "x"}')]
        assert_that(values, equal_to(expected))
        assert_that(whole.incomplete, equal_to([]), label="incomplete")


def test_an_answer_that_is_cut_off_is_incomplete(fake_server):
    fake_server.script = lambda request: stream(
        *chat_events('{"items": [{"n": 1}, {"n"', finish_reason="length")
    )
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server)
        letters = out.incomplete | beam.Map(lambda r: (r.id, r.error_type, r.input))
        assert_that(letters, equal_to([("a", "RecordsTruncated", '{"row": "a"}')]))
        whole = out.records | AssembleRecords()
        assert_that(whole.records, equal_to([]), label="no whole answer")
        incomplete = whole.incomplete | "Told" >> beam.Map(lambda r: (r.id, r.error_type))
        assert_that(incomplete, equal_to([("a", "IncompleteRecords")]), label="incomplete")


SEEN = []
GO_ON = threading.Event()


def see(record):
    SEEN.append(record.value)
    GO_ON.set()


def test_a_record_reaches_a_fused_consumer_while_the_model_writes(fake_server):
    SEEN.clear()
    GO_ON.clear()
    first, *rest = chat_events(['{"items": [{"n": 1}, ', "{}]}"])[1:]
    fake_server.script = lambda request: stream(first, Wait(GO_ON), *rest)
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server)
        out.records | beam.Map(see)
    assert SEEN == ['{"n": 1}', "{}", None]


def test_every_output_is_a_row():
    p = pipeline()
    prompts(p, "a") | "Do" >> StreamRecords("openai/m")
    records = p | "Records" >> beam.Create([]).with_output_types(Record)
    records | "Whole" >> AssembleRecords()
    job = p.to_runner_api()
    assert output_coders(job, "Do/") == {
        "Do/Ask.None": "row(Record)",
        "Do/Ask.dead_letters": "row(DeadLetter)",
        "Do/EmitRecords.None": "row(Record)",
        "Do/EmitDeadLetters.None": "row(DeadLetter)",
        "Do/Apart/FlatMap(_apart).None": "row(DeadLetter)",
        "Do/Apart/FlatMap(_apart).incomplete": "row(DeadLetter)",
    }
    assert output_coders(job, "Whole/") == {
        "Whole/ByPrompt.None": "kv(kv(string_utf8, string_utf8), row(Record))",
        "Whole/GroupByKey.None": "kv(kv(string_utf8, string_utf8), iterable(row(Record)))",
        "Whole/Sort.None": "row(Record)",
        "Whole/Sort.incomplete": "row(DeadLetter)",
    }


def test_a_trigger_that_fires_more_than_once_is_refused():
    p = pipeline()
    records = p | beam.Create([]).with_output_types(Record)
    windowed = records | beam.WindowInto(
        FixedWindows(60),
        trigger=Repeatedly(AfterCount(1)),
        accumulation_mode=AccumulationMode.ACCUMULATING,
    )
    with pytest.raises(ValueError, match="the trigger of the records must fire once per window"):
        windowed | AssembleRecords()


def test_arguments_are_checked_when_the_pipeline_is_built():
    with pytest.raises(ValueError, match="grow_max_tokens must be positive, got 0"):
        StreamRecords("openai/m", grow_max_tokens=0)
    with pytest.raises(ValueError, match="a path must be made of"):
        StreamRecords("openai/m", path="$..items")
    with pytest.raises(ValueError, match="the schema cannot be used"):
        StreamRecords("openai/m", {"type": "objec"})


def test_a_continued_answer_goes_on_after_its_last_record(fake_server):
    half = chat_events(['{"items": [{"n": 1}, {"n": 2},', ' {"n"'])[:-3]
    replies = iter([stream(*half, Reset()), stream(*chat_events([": 3}", "]}"]))])
    fake_server.script = lambda request: next(replies)
    options = {"base_url": fake_server.base_url, "timeout": 5, "on_interrupt": "continue"}
    with pipeline() as p:
        out = prompts(p, "a") | StreamRecords("hosted_vllm/m", SCHEMA, **options)
        expected = [(n - 1, n) for n in (1, 2, 3)]
        whole = (out.records | AssembleRecords()).records
        values = whole | beam.Map(lambda r: (r.index, orjson.loads(r.value)["n"]))
        assert_that(values, equal_to(expected))
        attempts = out.records | beam.Map(lambda r: r.attempt)
        assert_that(attempts, equal_to([1, 1, 1, 1]), label="one attempt")
    assert len(fake_server.requests) == 2


CUT = '{"items": [{"n": 1}, {"n"'


def test_an_answer_that_its_length_cuts_off_goes_on_after_its_last_record(fake_server):
    cut = chat_stream(CUT, finish_reason="length")
    fake_server.enqueue(
        cut, chat_stream(': 2}, {"n": ', finish_reason="length"), chat_stream("3}]}")
    )
    options = {"base_url": fake_server.base_url, "timeout": 5, "on_interrupt": "continue"}
    with pipeline() as p:
        out = prompts(p, "a") | StreamRecords("hosted_vllm/m", SCHEMA, max_tokens=9, **options)
        told = out.records | beam.Map(lambda r: (r.attempt, r.index, r.value))
        rest = [(1, 1, '{"n": 2}'), (1, 2, '{"n": 3}'), (1, 3, None)]
        assert_that(told, equal_to([(1, 0, '{"n": 1}'), *rest]))
        assert_that(out.incomplete, equal_to([]), label="incomplete")


def test_elsewhere_it_is_requested_once_more_with_more_room(fake_server):
    fake_server.enqueue(chat_stream(CUT, finish_reason="length"), chat_stream(ITEMS))
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server, max_tokens=9)
        whole = (out.records | AssembleRecords()).records
        told = whole | beam.Map(lambda r: (r.attempt, r.index, r.value))
        expected = [(2, 0, '{"n": 1}'), (2, 1, '{"n": 2}'), (2, 2, '{"n": "x"}')]
        assert_that(told, equal_to(expected))
        first = out.records | beam.Filter(lambda r: r.attempt == 1) | beam.Map(lambda r: r.value)
        assert_that(first, equal_to(['{"n": 1}']), label="replaced")
        final = out.records | beam.Filter(lambda r: r.final)
        tokens = final | "Tokens" >> beam.Map(
            lambda r: orjson.loads(r.outcome)["usage"]["completion_tokens"]
        )
        # The words of both requests, as the server counts them.
        assert_that(tokens, equal_to([len(CUT.split()) + len(ITEMS.split())]), label="tokens")
    assert [request.json["max_tokens"] for request in fake_server.requests] == [9, 18]


def test_an_answer_that_is_cut_off_twice_is_incomplete(fake_server):
    fake_server.script = lambda request: chat_stream(CUT, finish_reason="length")
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server, grow_max_tokens=50)
        told = out.incomplete | beam.Map(lambda letter: (letter.error_type, letter.attempts))
        assert_that(told, equal_to([("RecordsTruncated", 2)]))
        assert_that(out.dead_letters, equal_to([]), label="dead letters")
    assert [request.json.get("max_tokens") for request in fake_server.requests] == [None, 50]


def test_a_prompt_that_is_refused_is_no_incomplete_answer(fake_server):
    fake_server.script = lambda request: api_error(400)
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server)
        told = out.dead_letters | beam.Map(lambda letter: letter.error_type)
        assert_that(told, equal_to(["BadRequestError"]))
        assert_that(out.incomplete, equal_to([]), label="incomplete")


def test_a_second_run_has_its_records_from_the_journal(fake_server, tmp_path):
    fake_server.enqueue(chat_stream(CUT, finish_reason="length"), chat_stream(ITEMS))
    journal = NewJournal(f"sqlite:{tmp_path / 'journal'}", str(tmp_path))
    for _ in range(2):
        with pipeline() as p:
            out = prompts(p, "a") | transform(fake_server, journal=journal, max_tokens=9)
            whole = (out.records | AssembleRecords()).records | beam.Map(lambda r: r.value)
            assert_that(whole, equal_to(['{"n": 1}', '{"n": 2}', '{"n": "x"}']))
    assert len(fake_server.requests) == 2


def test_records_can_be_committed_several_times_a_second():
    p = beam.Pipeline(runner="PrismRunner")
    out = prompts(p, "a") | StreamRecords("openai/m", commit_every=0.2)
    assert set(out) == {"records", "incomplete", "dead_letters"}
    coders = output_coders(p.to_runner_api(), "StreamRecords/Committed/")
    assert "row(Record)" in coders.values()
    assert "row(Delta)" not in coders.values()


def test_a_stream_with_enough_records_is_left_and_whole(fake_server):
    endless = ['{"items": [', *(f'{{"n": {n}}}, ' for n in range(9))]
    fake_server.script = lambda request: stream(*chat_events(endless)[:-3], Stall())
    with pipeline() as p:
        out = prompts(p, "a") | transform(fake_server, stop_when=StopWhen("$.items[*]", 2))
        final = out.records | beam.Filter(lambda r: r.final) | beam.Map(lambda r: r.index >= 2)
        assert_that(final, equal_to([True]))
        assert_that(out.incomplete, equal_to([]), label="incomplete")
        first = (out.records | AssembleRecords()).records | beam.Filter(lambda r: r.index < 2)
        assert_that(
            first | "Values" >> beam.Map(lambda r: r.value),
            equal_to(['{"n": 0}', '{"n": 1}']),
            label="whole",
        )
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
