"""Several transforms in one fused stage: each is live, by the order of events and not by time.

The server holds a response until a consumer has seen a delta of another one. So a transform that
is silent while another waits makes a test hang.
"""

from __future__ import annotations

import gc
import threading

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import Stall, Wait, chat_events, stream

from transforms import CompletePrompts, Prompt, StreamCompletions
from transforms.completions import stage

SEEN = {}


def event(name):
    return SEEN.setdefault(name, threading.Event())


@pytest.fixture(autouse=True)
def nothing_seen():
    SEEN.clear()


def pipeline(*flags):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompt(id, text):
    request = {"messages": [{"role": "user", "content": text}]}
    return Prompt(id, orjson.dumps(request).decode())


def prompts(p, *rows):
    return p | "Prompts" >> beam.Create(rows, reshuffle=False).with_output_types(Prompt)


def asking(server, model, transform=StreamCompletions, **options):
    return transform(f"openai/{model}", base_url=server.base_url, timeout=60, **options)


class _SeeFn(beam.DoFn):
    """Notes the text of each delta under the name of its model."""

    def __init__(self, model):
        self._model = model

    def process(self, delta):
        if delta.text:
            event(f"{self._model} {delta.id}").set()
        yield delta.id, delta.text


def held(request, until):
    """Return a response whose first word comes at once, and the rest after the event `until`."""
    first, second, *rest = chat_events("some words")
    return stream(first, second, Wait(event(until)), *rest)


def test_two_transforms_side_by_side_are_both_live(fake_server):
    others = {"a": "b p", "b": "a p"}
    fake_server.script = lambda request: held(request, others[request.json["model"]])
    with pipeline() as p:
        rows = prompts(p, prompt("p", "x"))
        for model in "ab":
            deltas = (rows | model >> asking(fake_server, model)).deltas
            texts = deltas | f"see {model}" >> beam.ParDo(_SeeFn(model))
            words = texts | f"words {model}" >> beam.Filter(lambda seen: seen[1])
            assert_that(words, equal_to([("p", "some "), ("p", "words")]), label=model)


def chain(server, rows, **options):
    """Send each completion of `gen` to `judge`; return the texts of the judge's deltas."""
    generated = (rows | "gen" >> asking(server, "gen", CompletePrompts, **options)).completions
    again = generated | "again" >> beam.Map(lambda row: prompt(row.id, row.text)).with_output_types(
        Prompt
    )
    judged = again | "judge" >> asking(server, "judge", **options)
    return judged.deltas | "see" >> beam.ParDo(_SeeFn("judge"))


def test_a_judge_is_live_while_a_generation_before_it_lasts(fake_server):
    """The slow generation ends once the judge's delta about the quick one has been seen."""

    def script(request):
        text = request.json["messages"][-1]["content"]
        return held(request, "judge quick") if text == "slow" else stream(*chat_events("fine"))

    fake_server.script = script
    with pipeline() as p:
        seen = chain(fake_server, prompts(p, prompt("slow", "slow"), prompt("quick", "quick")))
        words = seen | beam.Filter(lambda delta: delta[1])
        assert_that(words, equal_to([("quick", "fine"), ("slow", "fine")]))


def test_a_judge_is_live_while_the_generation_has_no_room_for_more(fake_server):
    """More prompts than the window holds: the first transform waits in the middle of a bundle."""
    many = [prompt(f"p{n}", "slow" if n == 1 else "quick") for n in range(40)]

    def script(request):
        text = request.json["messages"][-1]["content"]
        return held(request, "judge p0") if text == "slow" else stream(*chat_events("fine"))

    fake_server.script = script
    with pipeline() as p:
        seen = chain(fake_server, prompts(p, *many), max_in_flight=2)
        ids = seen | beam.Filter(lambda delta: delta[1]) | beam.Map(lambda delta: delta[0])
        assert_that(ids, equal_to([row.id for row in many]))


class _NeverTwiceFn(beam.DoFn):
    """Fails if it is entered while it is at work."""

    def start_bundle(self):
        self._at_work = False

    def process(self, element):
        assert not self._at_work
        self._at_work = True
        yield element
        self._at_work = False


def test_a_users_fn_between_two_transforms_is_never_entered_twice(fake_server):
    with pipeline() as p:
        rows = prompts(p, *(prompt(f"p{n}", f"word {n}") for n in range(60)))
        guarded = rows | "before" >> beam.ParDo(_NeverTwiceFn()).with_output_types(Prompt)
        options = {"max_in_flight": 2}
        first, second = (
            (guarded | model >> asking(fake_server, model, CompletePrompts, **options)).completions
            for model in "ab"
        )
        both = (first, second) | beam.Flatten() | "between" >> beam.ParDo(_NeverTwiceFn())
        again = both | beam.Map(lambda row: prompt(row.id, row.text)).with_output_types(Prompt)
        third = (again | "c" >> asking(fake_server, "c", CompletePrompts, **options)).completions
        after = third | "after" >> beam.ParDo(_NeverTwiceFn())
        ids = after | beam.Map(lambda row: row.id)
        assert_that(ids, equal_to([f"p{n}" for n in range(60)] * 2))


def _break(_):
    raise ZeroDivisionError("a consumer broke")


def test_a_consumer_of_another_transform_that_fails_fails_the_job(fake_server):
    def script(request):
        if request.json["model"] == "a":
            return stream(*chat_events("x")[:2], Stall())
        return stream(*chat_events("x"))

    fake_server.script = script
    p = pipeline()
    rows = prompts(p, prompt("p", "x"))
    rows | "a" >> asking(fake_server, "a")
    (rows | "b" >> asking(fake_server, "b")).deltas | beam.Map(_break)
    with pytest.raises(ZeroDivisionError, match="a consumer broke"):
        p.run()
    gc.collect()
    fake_server.wait_until(lambda: fake_server.open_streams == 0)


def test_the_counts_of_a_pumped_transform_are_its_own(fake_server):
    others = {"a": "b p", "b": "a p"}
    fake_server.script = lambda request: held(request, others[request.json["model"]])
    p = pipeline()
    rows = prompts(p, prompt("p", "x"))
    for model in "ab":
        (rows | model >> asking(fake_server, model)).deltas | f"see {model}" >> beam.ParDo(
            _SeeFn(model)
        )
    result = p.run()
    result.wait_until_finish()
    counted = {
        counter.key.step.partition("/")[0]: counter.committed
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.name == "deltas"
    }
    assert counted == dict.fromkeys("ab", len(chat_events("some words")))


def test_nothing_of_a_stage_is_kept_after_its_job(fake_server):
    others = list(stage._stages)  # of other tests
    with pipeline() as p:
        prompts(p, prompt("p", "x")) | asking(fake_server, "a")
    gc.collect()
    assert set(stage._stages) <= set(others)


def test_the_steps_before_a_step_are_all_that_lead_to_it():
    class _Step:
        def __init__(self, inputs, outputs):
            self.inputs = {name: name for name in inputs}
            self.outputs = {name: name for name in outputs}

    steps = {
        "read": _Step("", "r"),
        "one": _Step("r", "o"),
        "other": _Step("r", "t"),
        "both": _Step("ot", "b"),
        "last": _Step("b", ""),
    }
    assert stage._steps_before(steps) == {
        "read": set(),
        "one": {"read"},
        "other": {"read"},
        "both": {"one", "other", "read"},
        "last": {"both", "one", "other", "read"},
    }
