"""Prompts in a Beam pipeline: one outcome each, live deltas, timestamps and windows kept."""

from __future__ import annotations

import inspect
import threading

import apache_beam as beam
import orjson
import pytest
from apache_beam.internal import pickler
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue
from fake_server import Reset, Stall, Wait, api_error, chat_events, stream

from ritellm import RetryPolicy
from ritellm.calls.params import CompletionParams
from ritellm.prices import Price
from transforms import (
    AssembleCompletions,
    CompletePrompts,
    Completion,
    DeadLetter,
    Delta,
    Prompt,
    StreamChunkBuilder,
    StreamCompletions,
)
from transforms.completions import _CompleteFn
from transforms.completions.params import JobParams

NO_DELAY = RetryPolicy(first_delay=0)
WAYS_TO_RUN = {
    "one thread": [],
    "four threads": ["--direct_num_workers=4", "--direct_running_mode=multi_threading"],
    "bundles repeated": ["--direct_runner_bundle_repeat=2"],
}


@pytest.fixture(params=WAYS_TO_RUN.values(), ids=WAYS_TO_RUN.keys())
def any_way(request):
    return request.param


def pipeline(flags=()):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompt(id, text="hello there", **body):
    request = {"messages": [{"role": "user", "content": text}], **body}
    return Prompt(id, orjson.dumps(request).decode(), f'{{"row":"{id}"}}')


def prompts(p, *rows):
    return p | "Prompts" >> beam.Create(rows).with_output_types(Prompt)


def asked(server, transform=CompletePrompts, **options):
    return transform("openai/m", base_url=server.base_url, timeout=5, **options)


def by_content(replies):
    """Return a script that answers by the text of the last message."""

    def script(request):
        reply = replies[request.json["messages"][-1]["content"]]
        return reply() if callable(reply) else reply

    return script


def test_every_prompt_becomes_one_completion(fake_server, any_way):
    rows = [prompt(f"p{i}", f"words of {i}") for i in range(40)]
    with pipeline(any_way) as p:
        done = prompts(p, *rows) | asked(fake_server, max_in_flight=8)
        answers = done.completions | beam.Map(lambda c: (c.id, c.text, c.finish_reason, c.input))
        assert_that(
            answers,
            equal_to([(f"p{i}", f"words of {i}", "stop", f'{{"row":"p{i}"}}') for i in range(40)]),
        )
        assert_that(done.dead_letters, equal_to([]), label="no dead letters")
    assert fake_server.max_open <= 8


def test_deltas_add_up_to_the_completion(fake_server, any_way):
    with pipeline(any_way) as p:
        deltas = (
            prompts(p, prompt("a", "one two"), prompt("b", "three"))
            | asked(fake_server, StreamCompletions)
        ).deltas
        whole = deltas | AssembleCompletions()
        texts = whole.completions | beam.Map(lambda c: (c.id, c.text, c.attempts, c.total_tokens))
        assert_that(texts, equal_to([("a", "one two", 1, 4), ("b", "three", 1, 2)]))
        assert_that(whole.incomplete, equal_to([]), label="nothing incomplete")


def test_a_refused_prompt_becomes_a_dead_letter_that_can_be_sent_again(fake_server):
    fake_server.script = by_content(
        {
            "good": stream(*chat_events("fine")),
            "bad": api_error(400, "invalid_request_error", "x", "No."),
        }
    )
    with pipeline() as p:
        done = prompts(p, prompt("g", "good"), prompt("b", "bad")) | asked(fake_server)
        assert_that(done.completions | beam.Map(lambda c: c.text), equal_to(["fine"]))
        request = prompt("b", "bad").request
        letter = DeadLetter(
            "b", request, "BadRequestError", "openai/m: No.", 400, False, 1, "", '{"row":"b"}'
        )
        untimed = done.dead_letters | beam.Map(lambda d: d._replace(seconds=None, ended_at=None))
        assert_that(untimed, equal_to([letter]), label="dead letter")


def test_the_dead_letter_of_a_broken_stream_has_the_partial_text(fake_server):
    half = chat_events("partial answer here")[:3]
    fake_server.script = lambda request: stream(*half, Reset())
    with pipeline() as p:
        done = prompts(p, prompt("a")) | asked(fake_server, num_retries=0)
        told = done.dead_letters | beam.Map(
            lambda d: (d.partial_text, d.retryable, d.attempts, d.error_type)
        )
        assert_that(told, equal_to([("partial answer ", True, 1, "APIConnectionError")]))


def test_an_interrupted_stream_restarts_and_the_new_attempt_counts(fake_server):
    fake_server.enqueue(
        stream(*chat_events("lost words")[:2], Reset()), stream(*chat_events("kept"))
    )
    with pipeline() as p:
        done = prompts(p, prompt("a")) | asked(fake_server, emit_deltas=True, retry=NO_DELAY)
        places = done.deltas | beam.Map(lambda d: (d.attempt, d.seq, d.text, d.final))
        assert_that(
            places,
            equal_to(
                [
                    (1, 0, "", False),
                    (1, 1, "lost ", False),
                    (2, 0, "", False),
                    (2, 1, "kept", False),
                    (2, 2, "", False),
                    (2, 3, "", False),
                    (2, 4, "", True),
                ]
            ),
        )
        told = done.completions | beam.Map(lambda c: (c.text, c.attempts))
        assert_that(told, equal_to([("kept", 2)]), label="completion")
        again = done.deltas | AssembleCompletions()
        assert_that(again.completions | beam.Map(lambda c: c.text), equal_to(["kept"]), label="sum")


def test_an_invalid_request_is_a_dead_letter_and_is_not_sent(fake_server):
    rows = [Prompt("n", "not json"), Prompt("l", "[]"), Prompt("e", '{"messages":[]}')]
    with pipeline() as p:
        done = prompts(p, *rows) | asked(fake_server)
        types = done.dead_letters | beam.Map(lambda d: (d.id, d.error_type, d.attempts))
        wanted = [(row.id, "InvalidRequestError", 0) for row in rows]
        assert_that(types, equal_to(wanted))
    assert fake_server.requests == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"base_url": "http://127.0.0.1:9/evil"}, "base_url"),
        ({"api_key": "x"}, "api_key"),
        ({"extra_headers": {"x": "y"}}, "extra_headers"),
        ({"local_files": True}, "local_files"),
        ({"model": "groq/m"}, "'groq'"),
    ],
)
def test_a_row_cannot_send_the_key_of_the_job_elsewhere(fake_server, body, words, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with pipeline() as p:
        done = prompts(p, prompt("a", **body)) | asked(fake_server)
        told = done.dead_letters | beam.Map(lambda d: (d.error_type, words in d.message))
        assert_that(told, equal_to([("InvalidRequestError", True)]))
    assert fake_server.requests == []


def test_a_row_may_choose_another_model_of_the_provider(fake_server):
    with pipeline() as p:
        prompts(p, prompt("a", model="openai/other")) | asked(fake_server)
    assert fake_server.requests[0].json["model"] == "other"


def test_the_parameters_of_a_prompt_override_those_of_the_transform(fake_server):
    rows = [prompt("a", temperature=0.5), prompt("b")]
    with pipeline() as p:
        prompts(p, *rows) | asked(fake_server, temperature=0, max_tokens=7)
    sent = sorted((r.json["temperature"], r.json["max_tokens"]) for r in fake_server.requests)
    assert sent == [(0, 7), (0.5, 7)]


class _SeenFn(beam.DoFn):
    """Lets the server continue once a delta with text has arrived here."""

    gate = threading.Event()

    def process(self, delta):
        if delta.text:
            self.gate.set()
        yield delta


@pytest.mark.parametrize("transform", [StreamCompletions, CompletePrompts])
def test_a_fused_consumer_sees_a_delta_before_the_stream_ends(fake_server, transform):
    """The server waits within a response for the consumer: without live deltas the test hangs."""
    _SeenFn.gate = threading.Event()
    first, second, *rest = chat_events("now and later")
    fake_server.enqueue(stream(first, second, Wait(_SeenFn.gate), *rest))
    options = {"emit_deltas": True} if transform is CompletePrompts else {}
    with pipeline() as p:
        done = prompts(p, prompt("a")) | asked(fake_server, transform, **options)
        text = done.deltas | beam.ParDo(_SeenFn()) | beam.Map(lambda d: d.text)
        assert_that(text, equal_to(["", "now ", "and ", "later", "", "", ""]))
    assert _SeenFn.gate.is_set()


def test_outcomes_keep_the_timestamp_and_the_window_of_their_prompt(fake_server):
    rows = [prompt(f"p{i}", f"number {i}") for i in range(20)]
    with pipeline() as p:
        done = (
            prompts(p, *rows)
            | beam.Map(lambda row: TimestampedValue(row, 10 * int(row.id[1:]))).with_output_types(
                Prompt
            )
            | beam.WindowInto(FixedWindows(10))
            | asked(fake_server, max_in_flight=5, emit_deltas=True)
        )
        places = done.completions | beam.ParDo(_PlaceFn())
        assert_that(places, equal_to([(f"p{i}", 10 * i, 10 * i) for i in range(20)]))
        counts = (
            done.deltas
            | "Place" >> beam.ParDo(_PlaceFn())
            | beam.combiners.Count.PerElement()
            | beam.Map(lambda counted: counted[0][:3])
        )
        wanted = [(f"p{i}", 10 * i, 10 * i) for i in range(20)]
        assert_that(counts, equal_to(wanted), label="deltas")


class _PlaceFn(beam.DoFn):
    def process(self, row, at=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        yield row.id, int(at), int(window.start)


def _break(_):
    raise ZeroDivisionError("a consumer broke")


def test_streams_are_cancelled_when_a_consumer_fails(fake_server):
    fake_server.script = by_content(
        {
            "ends": stream(*chat_events("x")),
            "hangs": stream(*chat_events("x")[:2], Stall()),
        }
    )
    rows = [prompt("h1", "hangs"), prompt("h2", "hangs"), prompt("e", "ends")]
    p = pipeline()
    done = prompts(p, *rows) | asked(fake_server)
    done.completions | beam.Map(_break)
    with pytest.raises(ZeroDivisionError, match="a consumer broke"):
        p.run()
    fake_server.wait_until(lambda: fake_server.cancelled == 2 and fake_server.open_streams == 0)


def test_streams_are_cancelled_at_teardown(fake_server):
    fake_server.script = lambda request: stream(*chat_events("x")[:2], Stall())
    transform = asked(fake_server)
    fn = _CompleteFn(transform._completer, transform._new_resources, "completions")
    fn.setup()
    fn.start_bundle()
    for id in ("a", "b"):
        assert list(fn.process(prompt(id), GlobalWindows.windowed_value(prompt(id)))) == []
    fake_server.wait_until(lambda: fake_server.open_streams == 2)
    fn.teardown()
    fake_server.wait_until(lambda: fake_server.cancelled == 2 and fake_server.open_streams == 0)


class _HoldFn(beam.DoFn):
    """Keeps the bundle thread busy until the provider has all requests."""

    all_asked = threading.Event()

    def process(self, row):
        yield row.id, self.all_asked.wait(60)


def _given(row):
    if row.id == "d":
        _HoldFn.all_given.set()
    return row


def test_the_next_request_is_sent_while_the_consumer_is_busy(fake_server):
    _HoldFn.all_asked, _HoldFn.all_given = threading.Event(), threading.Event()

    def script(request):
        if len(fake_server.requests) == 4:
            _HoldFn.all_asked.set()
        # No response comes before the transform has all prompts: a busy consumer delays the others.
        return stream(Wait(_HoldFn.all_given), *chat_events("x"))

    fake_server.script = script
    with pipeline() as p:
        rows = prompts(p, *map(prompt, "abcd")) | beam.Map(_given).with_output_types(Prompt)
        done = (rows | asked(fake_server, max_in_flight=1)).completions | beam.ParDo(_HoldFn())
        assert_that(done, equal_to([(id, True) for id in "abcd"]))
    assert fake_server.max_open == 1


def test_a_key_is_neither_in_the_pickled_transform_nor_in_the_job(fake_server, monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    transform = asked(fake_server, api_key_env="A_KEY")
    assert b"sk-very-secret" not in pickler.dumps(transform)
    p = pipeline()
    prompts(p, prompt("a")) | transform
    assert b"sk-very-secret" not in p.to_runner_api().SerializeToString()
    p.run().wait_until_finish()
    assert fake_server.requests[0].headers["authorization"] == "Bearer sk-very-secret"


def test_a_key_as_an_argument_is_refused():
    with pytest.raises(TypeError, match="api_key_env"):
        StreamCompletions("openai/m", api_key="sk-very-secret")


def test_the_types_of_the_parameters_name_every_argument_of_a_job():
    arguments = inspect.signature(StreamCompletions).parameters.keys() - {"model", "params"}
    assert JobParams.__optional_keys__ - CompletionParams.__optional_keys__ == arguments


class _Refusing:
    def allow(self):
        return False


def test_a_request_that_the_rate_limiter_refuses_is_not_sent(fake_server):
    with pipeline() as p:
        done = prompts(p, prompt("a")) | asked(fake_server, rate_limiter=_Refusing())
        told = done.dead_letters | beam.Map(lambda d: (d.error_type, d.retryable))
        assert_that(told, equal_to([("RateLimitError", True)]))
    assert fake_server.requests == []


def test_the_outcomes_are_counted_as_beam_metrics(fake_server):
    fake_server.script = by_content({"x y": stream(*chat_events("a b")), "bad": api_error(400)})
    p, prices = pipeline(), {"openai/m": Price(input=0.0, output=1.0)}
    asking = asked(fake_server, emit_deltas=True, prices=prices)
    prompts(p, prompt("a", "x y"), prompt("b", "bad")) | asking
    result = p.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("ritellm"))
    counted = {c.key.metric.name: c.committed for c in found["counters"]}
    timed = {d.key.metric.name: d.committed.count for d in found["distributions"]}
    assert counted["completions"] == 1
    assert counted["dead_letters"] == 1
    assert counted["attempts"] == 2
    assert counted["completions:fake-model"] == 1
    assert counted["cost_usd_micros"] == counted["cost_usd_micros:fake-model"] == 2
    assert timed["ttft_msec"] == timed["ttft_msec:fake-model"] == 1
    assert timed["duration_msec:fake-model"] == 1
    assert counted["dead_letters:BadRequestError"] == 1
    assert counted["finish_reason:stop"] == 1
    assert counted["completion_tokens"] == 2
    assert counted["deltas"] == len(chat_events("a b")) - 1 + 1  # not [DONE], but the final one


# --- Assembling -------------------------------------------------------------------------------


def deltas_of(id, attempt, pieces, final=True):
    made = []
    for seq, text in enumerate(pieces):
        choice = {"index": 0, "delta": {"content": text}}
        if seq == len(pieces) - 1:
            choice["finish_reason"] = "stop"
        chunk = orjson.dumps({"choices": [choice]}).decode()
        made.append(Delta(id, attempt, seq, text, choice.get("finish_reason"), chunk))
    if final:
        outcome = orjson.dumps({"attempts": attempt}).decode()
        made.append(Delta(id, attempt, len(pieces), "", None, '{"choices":[]}', True, outcome))
    return made


def built(deltas):
    """Add up as a runner might: each delta on its own, then all merged."""
    builder = StreamChunkBuilder()
    sums = [builder.add_input(builder.create_accumulator(), delta) for delta in deltas]
    return builder.extract_output(builder.merge_accumulators(sums))


whole = deltas_of("a", 1, ["x", "y", "z"])


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (whole, "xyz"),
        (whole[::-1], "xyz"),
        (whole + whole[1:2] + whole[::-1], "xyz"),
        (whole + deltas_of("a", 2, ["new"]), "new"),
        (deltas_of("a", 2, ["new"]) + whole, "new"),
        (whole + deltas_of("a", 2, ["half"], final=False), "xyz"),
    ],
    ids=["in order", "reversed", "repeated", "newer attempt", "newer first", "newer is not whole"],
)
def test_deltas_in_any_order_and_number_make_one_completion(deltas, text):
    outcome = built(deltas)
    assert isinstance(outcome, Completion)
    assert outcome.text == text


@pytest.mark.parametrize("missing", range(len(whole)))
def test_deltas_with_a_gap_are_never_a_completion(missing):
    outcome = built(whole[:missing] + whole[missing + 1 :])
    assert isinstance(outcome, DeadLetter)
    assert outcome.error_type == "IncompleteDeltas"
    assert outcome.partial_text == "".join(delta.text for delta in whole[:missing])


def test_incomplete_deltas_have_an_output_of_their_own():
    rows = whole + deltas_of("b", 1, ["half"], final=False)
    with pipeline() as p:
        sums = p | beam.Create(rows).with_output_types(Delta) | AssembleCompletions()
        assert_that(sums.completions | beam.Map(lambda c: (c.id, c.text)), equal_to([("a", "xyz")]))
        told = sums.incomplete | beam.Map(lambda d: (d.id, d.partial_text))
        assert_that(told, equal_to([("b", "half")]), label="incomplete")


@pytest.mark.parametrize("element", [whole[0], whole[-1], prompt("p"), built(whole), built([])])
def test_elements_survive_their_row_coder(element):
    coder = beam.coders.registry.get_coder(type(element))
    assert isinstance(coder, beam.coders.RowCoder)
    assert coder.decode(coder.encode(element)) == element
