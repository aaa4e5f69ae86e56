"""RunInference with ritellm: one result for each example, and each failed row by itself."""

from __future__ import annotations

import threading
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    KeyModelMapping,
    ModelMetadata,
    PredictionResult,
    RunInference,
)
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import Reset, Wait, api_error, chat_events, chat_stream, echo, stream

from ritellm import Answer
from ritellm.errors import BadRequestError
from transforms import CompletePrompts, Prompt, RitellmModelHandler
from transforms.journal import NewJournal
from transforms.worker.engine import join

WAYS_TO_RUN = {
    "one thread": [],
    "four threads": ["--direct_num_workers=4", "--direct_running_mode=multi_threading"],
}


@pytest.fixture(params=WAYS_TO_RUN.values(), ids=WAYS_TO_RUN.keys())
def any_way(request):
    return request.param


def pipeline(flags=()):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def handler(server, **options):
    given = {"base_url": server.base_url, "timeout": 5, **options}
    return RitellmModelHandler("openai/m", **given)


def said(result):
    return result.example, result.inference.choices[0].message.content


def bad_rows(request):
    """Echo, but refuse a text that begins with "bad"."""
    if request.json["messages"][-1]["content"].startswith("bad"):
        return api_error(400, "invalid_request_error", "x", "No.")
    return echo(request)


def times_asked(server):
    """Return how often each text was sent."""
    texts = [request.json["messages"][-1]["content"] for request in server.requests]
    return {text: texts.count(text) for text in texts}


def test_each_text_gets_the_completion_of_its_own(fake_server, any_way):
    texts = [f"words of {i}" for i in range(40)]
    with pipeline(any_way) as p:
        results = p | beam.Create(texts) | RunInference(handler(fake_server, max_in_flight=8))
        assert_that(results | beam.Map(said), equal_to([(text, text) for text in texts]))
    assert fake_server.max_open <= 8


def test_a_checked_answer_is_the_parsed_value_of_the_result_also_in_a_later_stage(fake_server):
    pytest.importorskip("jsonschema_rs")
    fake_server.enqueue(chat_stream('{"label": "ugly"}'), chat_stream('{"label": "good"}'))
    answer = Answer("label:enum(good,bad)")
    with pipeline() as p:
        results = p | beam.Create(["x"]) | RunInference(handler(fake_server, answer=answer))
        later = results | beam.Reshuffle() | beam.Map(lambda r: r.inference.parsed)
        assert_that(later, equal_to([{"label": "good"}]))
    assert len(fake_server.requests) == 2


def test_an_answer_that_stays_wrong_is_a_failed_row_of_its_own(fake_server):
    pytest.importorskip("jsonschema_rs")
    fake_server.script = lambda request: chat_stream(
        '{"label": "ugly"}' if request.json["messages"][0]["content"] == "x" else '{"label": "bad"}'
    )
    answer = Answer("label:enum(good,bad)", reasks=0)
    with pipeline() as p:
        inference = RunInference(handler(fake_server, answer=answer)).with_exception_handling()
        results, dead = p | beam.Create(["x", "y"]) | inference
        assert_that(results | beam.Map(lambda r: r.inference.parsed), equal_to([{"label": "bad"}]))
        told = dead.failed_inferences | beam.Map(lambda failed: (failed[0], failed[1][1]))
        message = """AnswerInvalid('the answer is not valid: $.label (enum): "ugly" is not one of"""
        message += """ "good" or "bad"')"""
        assert_that(told, equal_to([(["x"], message)]), "Failed")


def test_inference_args_that_replace_the_schema_of_an_answer_fail_the_row(fake_server):
    pytest.importorskip("jsonschema_rs")
    args = {"response_format": {"type": "json_object"}}
    with pipeline() as p:
        inference = RunInference(
            handler(fake_server, answer=Answer("label:str")), inference_args=args
        ).with_exception_handling()
        _, dead = p | beam.Create(["x"]) | inference
        found = dead.failed_inferences | beam.Map(
            lambda failed: "answer cannot be combined with response_format" in failed[1][1]
        )
        assert_that(found, equal_to([True]))
    assert not fake_server.requests


def test_a_result_is_a_completion_in_openais_shape_with_the_model(fake_server):
    with pipeline() as p:
        results = p | beam.Create(["one two"]) | RunInference(handler(fake_server))
        whole = results | beam.Map(
            lambda r: (type(r).__name__, r.inference["usage"]["total_tokens"], r.model_id)
        )
        assert_that(whole, equal_to([("PredictionResult", 4, "openai/m")]))


class Question(NamedTuple):
    id: str
    request: str


class Said(NamedTuple):
    """A message like Beam's OpenAIChatMessage."""

    role: str
    content: str


HELLO = '{"messages":[{"role":"user","content":"hello"}]}'


@pytest.mark.parametrize(
    "example",
    [
        "hello",
        [{"role": "system", "content": "Echo."}, {"role": "user", "content": "hello"}],
        [Said("user", "hello")],
        {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5},
        Prompt("a", HELLO),
        Question("a", HELLO),
        beam.Row(id="a", request=HELLO),
    ],
    ids=["text", "messages", "objects", "dict", "prompt", "named tuple", "row"],
)
def test_an_example_may_be_a_text_messages_a_request_or_a_prompt(fake_server, example):
    results = handler(fake_server).run_inference([example], None)
    assert [result.inference.choices[0].message.content for result in results] == ["hello"]
    assert results[0].example == example


@pytest.mark.parametrize("example", [7, None, b"bytes", [1], {"text": "x"}, {"messages": {1, 2}}])
def test_an_example_that_is_no_request_is_a_dead_letter_and_is_not_sent(fake_server, example):
    with pipeline() as p:
        _, dead = (
            p
            | beam.Create([example])
            | RunInference(handler(fake_server)).with_exception_handling()
        )
        kinds = dead.failed_inferences | beam.Map(lambda row: (row[0], row[1][0].__name__))
        assert_that(kinds, equal_to([([example], "InvalidRequestError")]))
    assert fake_server.requests == []


def test_a_failed_row_is_a_dead_letter_alone_and_no_other_row_is_sent_twice(fake_server, any_way):
    fake_server.script = bad_rows
    texts = [f"bad {i}" if i % 5 == 0 else f"good {i}" for i in range(30)]
    with pipeline(any_way) as p:
        results, dead = (
            p | beam.Create(texts) | RunInference(handler(fake_server)).with_exception_handling()
        )
        good = [(text, text) for text in texts if text.startswith("good")]
        assert_that(results | beam.Map(said), equal_to(good))
        failed = dead.failed_inferences | beam.Map(lambda row: (row[0], row[1][0], row[1][1]))
        why = "BadRequestError('openai/m: No.')"
        bad = [([text], BadRequestError, why) for text in texts if text.startswith("bad")]
        assert_that(failed, equal_to(bad), label="dead letters")
    assert times_asked(fake_server) == dict.fromkeys(texts, 1)


@pytest.mark.parametrize("options", [{"timeout": 60}, {"use_subprocess": True}])
def test_a_failed_row_is_a_dead_letter_alone_with_each_way_to_catch(fake_server, options):
    fake_server.script = bad_rows
    with pipeline() as p:
        results, dead = (
            p
            | beam.Create(["bad", "good"])
            | RunInference(handler(fake_server)).with_exception_handling(**options)
        )
        assert_that(results | beam.Map(said), equal_to([("good", "good")]))
        failed = dead.failed_inferences | beam.Map(lambda row: row[0])
        assert_that(failed, equal_to([["bad"]]), label="dead letters")


def test_an_error_that_beam_does_not_catch_fails_the_job(fake_server):
    fake_server.script = bad_rows
    transform = RunInference(handler(fake_server)).with_exception_handling(exc_class=OSError)
    with pytest.raises(Exception, match="openai/m: No"), pipeline() as p:
        p | beam.Create(["bad"]) | transform


def test_a_failed_row_fails_a_job_without_dead_letters(fake_server):
    fake_server.script = bad_rows
    with pytest.raises(Exception, match="openai/m: No"), pipeline() as p:
        p | beam.Create(["bad"]) | RunInference(handler(fake_server))


def test_too_many_failed_rows_fail_the_job_at_beams_threshold(fake_server):
    fake_server.script = bad_rows
    transform = RunInference(handler(fake_server, max_batch_size=1))
    with pytest.raises(Exception, match="exceeded threshold"), pipeline() as p:
        p | beam.Create(["bad", "good"]) | transform.with_exception_handling(threshold=0.1)


def test_keys_stay_with_their_results_and_with_their_failed_rows(fake_server, any_way):
    fake_server.script = bad_rows
    rows = [(i, f"bad {i}" if i % 4 == 0 else f"good {i}") for i in range(12)]
    transform = RunInference(handler(fake_server).keyed()).with_exception_handling()
    with pipeline(any_way) as p:
        results, dead = p | beam.Create(rows) | transform
        answers = results | beam.MapTuple(lambda key, result: (key, *said(result)))
        good = [(key, text, text) for key, text in rows if text.startswith("good")]
        assert_that(answers, equal_to(good))
        failed = dead.failed_inferences | beam.Map(lambda row: row[0])
        bad = [[row] for row in rows if row[1].startswith("bad")]
        assert_that(failed, equal_to(bad), label="dead letters")
    assert len(fake_server.requests) == 12


def test_beams_own_keyed_handler_keeps_all_rows_and_a_failed_one_has_its_dead_letter(fake_server):
    fake_server.script = bad_rows
    transform = RunInference(KeyedModelHandler(handler(fake_server))).with_exception_handling()
    with pipeline() as p:
        results, dead = p | beam.Create([("a", "bad"), ("b", "good")]) | transform
        assert_that(dead.failed_inferences, equal_to([]), label="no batch is lost")
        kinds = results | beam.MapTuple(lambda key, result: (key, type(result.inference).__name__))
        assert_that(kinds, equal_to([("a", "DeadLetter"), ("b", "Completion")]))
    assert len(fake_server.requests) == 2


def test_beams_own_keyed_handler_raises_without_dead_letters(fake_server):
    fake_server.script = bad_rows
    with pytest.raises(Exception, match="openai/m: No"), pipeline() as p:
        p | beam.Create([("a", "bad")]) | RunInference(KeyedModelHandler(handler(fake_server)))


def test_one_handler_for_each_key(fake_server):
    first, second = handler(fake_server), handler(fake_server, temperature=0.5)
    by_key = KeyedModelHandler([KeyModelMapping(["a"], first), KeyModelMapping(["b"], second)])
    with pipeline() as p:
        results = p | beam.Create([("a", "one"), ("b", "two")]) | RunInference(by_key)
        answers = results | beam.MapTuple(lambda key, result: (key, *said(result)))
        assert_that(answers, equal_to([("a", "one", "one"), ("b", "two", "two")]))
    sent = sorted(request.json.get("temperature", 0) for request in fake_server.requests)
    assert sent == [0, 0.5]


def test_rows_go_on_while_one_row_of_the_batch_is_slow(fake_server):
    released = threading.Event()

    def script(request):
        text = request.json["messages"][-1]["content"]
        if text == "slow":
            return stream(*chat_events("slow")[:1], Wait(released), *chat_events("slow")[1:])
        if text == "last":
            released.set()
        return echo(request)

    fake_server.script = script
    texts = ["slow", *(f"row {i}" for i in range(20)), "last"]
    results = handler(fake_server, max_in_flight=2).run_inference(texts, None)
    assert [result.example for result in results] == texts
    assert fake_server.max_open == 2


def test_all_rows_of_a_bundle_are_one_batch(fake_server):
    assert handler(fake_server).batch_elements_kwargs() == {
        "min_batch_size": 10_000,
        "max_batch_size": 10_000,
    }
    assert handler(fake_server, max_in_flight=500).batch_elements_kwargs() == {
        "min_batch_size": 32_000,
        "max_batch_size": 32_000,
    }
    assert handler(fake_server, max_batch_size=5).batch_elements_kwargs() == {
        "min_batch_size": 5,
        "max_batch_size": 5,
    }
    both = handler(fake_server, min_batch_size=2, max_batch_size=5).batch_elements_kwargs()
    assert both == {"min_batch_size": 2, "max_batch_size": 5}


def test_inference_args_are_parameters_that_an_example_overrides(fake_server):
    rows = ["a", {"messages": [{"role": "user", "content": "b"}], "max_tokens": 3}]
    transform = RunInference(
        handler(fake_server, temperature=0), inference_args={"max_tokens": 7, "temperature": 1}
    )
    with pipeline() as p:
        p | beam.Create(rows) | transform
    sent = sorted((r.json["max_tokens"], r.json["temperature"]) for r in fake_server.requests)
    assert sent == [(3, 1), (7, 1)]


@pytest.mark.parametrize("name", ["api_key", "base_url", "model", "messages", "num_retries"])
def test_inference_args_cannot_hold_what_only_the_handler_may_have(fake_server, name):
    transform = RunInference(handler(fake_server), inference_args={name: "x"})
    with pytest.raises(TypeError, match=f"inference_args may not hold {name}"):
        pipeline() | beam.Create(["a"]) | transform


def test_a_secret_is_refused_when_the_handler_is_made(fake_server):
    with pytest.raises(TypeError, match="the job would store a key"):
        handler(fake_server, api_key="sk-secret")


def test_a_model_refresh_sends_the_next_batches_to_the_new_model(fake_server):
    with pipeline() as p:
        newest = p | "Newest" >> beam.Create([ModelMetadata("openai/newer", "newer")])
        transform = RunInference(handler(fake_server), model_metadata_pcoll=newest)
        results = p | beam.Create(["a"]) | transform
        assert_that(results | beam.Map(lambda result: result.model_id), equal_to(["openai/newer"]))
    assert [request.json["model"] for request in fake_server.requests] == ["newer"]


def test_pre_and_postprocessing_of_beam_work(fake_server):
    whole = (
        handler(fake_server)
        .with_preprocess_fn(lambda row: row["question"])
        .with_postprocess_fn(lambda result: result.inference["choices"][0]["message"]["content"])
    )
    with pipeline() as p:
        texts = p | beam.Create([{"question": "one"}]) | RunInference(whole)
        assert_that(texts, equal_to(["one"]))


def test_a_journal_pays_once_for_rows_with_ids(fake_server, tmp_path):
    journal = NewJournal("auto", str(tmp_path))
    for _ in range(2):
        with pipeline() as p:
            keyed = handler(fake_server, journal=journal).keyed()
            results = p | beam.Create([("a", "one"), ("b", "one")]) | RunInference(keyed)
            answers = results | beam.MapTuple(lambda key, result: (key, *said(result)))
            assert_that(answers, equal_to([("a", "one", "one"), ("b", "one", "one")]))
    assert len(fake_server.requests) == 2


def test_a_journal_without_ids_says_what_to_use(fake_server, tmp_path):
    journal = NewJournal("auto", str(tmp_path))
    sentence = r"the journal needs the id of each row.*keyed\(\)"
    with pytest.raises(Exception, match=sentence), pipeline() as p:
        p | beam.Create(["one"]) | RunInference(handler(fake_server, journal=journal))
    assert fake_server.requests == []


def test_threads_share_one_event_loop_and_its_limit(fake_server, any_way):
    shared = handler(fake_server, max_in_flight=3)
    with pipeline(any_way) as p:
        for name in ("one", "two"):
            rows = p | f"{name} rows" >> beam.Create([f"{name} {i}" for i in range(20)])
            rows | name >> RunInference(shared)
    assert len(fake_server.requests) == 40
    assert fake_server.max_open <= 3


def test_the_counters_count_the_rows(fake_server):
    fake_server.script = bad_rows
    p = pipeline()
    transform = RunInference(handler(fake_server)).with_exception_handling()
    p | beam.Create(["bad", "good", "also good"]) | transform
    result = p.run()
    result.wait_until_finish()
    names = MetricsFilter().with_names(["completions", "dead_letters", "num_inferences"])
    counters = result.metrics().query(names)["counters"]
    assert {each.key.metric.name: each.committed for each in counters} == {
        "completions": 2,
        "dead_letters": 1,
        "num_inferences": 3,
    }


def test_the_job_graph_shows_the_model(fake_server):
    assert RunInference(handler(fake_server)).annotations()["model_handler"] == (
        "RitellmModelHandler('openai/m')"
    )


def test_an_interrupted_row_is_sent_again_and_no_other_row(fake_server):
    broken = [stream(*chat_events("lost words")[:2], Reset())]

    def script(request):
        first = request.json["messages"][-1]["content"] == "a"
        return broken.pop() if first and broken else echo(request)

    fake_server.script = script
    results = handler(fake_server).run_inference(["a", "b", "c"], None)
    assert [said(result)[1] for result in results] == ["a", "b", "c"]
    assert times_asked(fake_server) == {"a": 2, "b": 1, "c": 1}


def test_the_handler_and_its_results_survive_pickling(fake_server):
    there = pickler.loads(pickler.dumps(handler(fake_server)))
    (result,) = there.run_inference(["hello"], None)
    again = pickler.loads(pickler.dumps(result))
    assert again == result
    assert isinstance(again, PredictionResult)
    assert again.inference.choices[0].message.content == "hello"


def test_a_handler_and_completions_of_one_process_keep_to_one_limit(fake_server):
    go = threading.Event()

    def script(request):
        if request.json["messages"][-1]["content"] == "hello":
            return echo(request)
        first, *rest = chat_events("an answer")
        return stream(first, Wait(go), *rest)

    fake_server.script = script
    shared = handler(fake_server, max_in_flight=3)
    inference = threading.Thread(target=shared.run_inference, args=(["held", "held"], None))
    inference.start()
    fake_server.wait_until(lambda: fake_server.open_streams == 2)
    with pipeline() as p:
        rows = beam.Create([Prompt(f"p{n}", HELLO) for n in range(30)]).with_output_types(Prompt)
        p | rows | CompletePrompts("openai/m", base_url=fake_server.base_url, max_in_flight=3)
    go.set()
    inference.join()
    assert len(fake_server.requests) == 32
    assert fake_server.max_open == 3


def test_a_handler_shares_connections_and_learned_pace(fake_server):
    asking = CompletePrompts("openai/m", base_url=fake_server.base_url)
    lease = join(asking._new_resources, asking._completer, "a job")
    found = handler(fake_server).load_model().resources
    assert found.gate is lease.resources.gate
    assert found.client._http is lease.resources.client._http
    lease.release()


def test_a_model_refresh_to_another_provider_keeps_to_the_limits_of_that_provider(fake_server):
    refreshed = handler(fake_server)
    before = refreshed.load_model().resources.gate
    refreshed.update_model_path("groq/m")
    assert refreshed.load_model().resources.gate is not before
