"""Dead letters through Beam's own error handling: handlers, and `good, bad`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import orjson
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.error_handling import CollectingErrorHandler, ErrorHandler
from fake_server import api_error, echo

from ritellm import BadRequestError, RitellmError
from transforms import (
    AssembleCompletions,
    CompletePrompts,
    Delta,
    Prompt,
    StreamCompletions,
    ToPrompts,
)

PROMPTS = [Prompt.of_text("one two", id="good"), Prompt.of_text("refuse", id="bad", input="{}")]


@pytest.fixture
def model(fake_server) -> Iterator[dict[str, Any]]:
    """The address of a model that refuses one prompt."""

    def script(request):
        text = request.json["messages"][-1]["content"]
        return (
            api_error(400, "invalid_request_error", "x", "No.")
            if text == "refuse"
            else (echo(request))
        )

    fake_server.script = script
    return {"model": "openai/m", "base_url": fake_server.base_url}


def prompts(p):
    return p | "Prompts" >> beam.Create(PROMPTS).with_output_types(Prompt)


def ids(elements, label):
    return elements | label >> beam.Map(lambda element: element.id)


@pytest.mark.parametrize("by", ["argument", "with_error_handler", "with_exception_handling"])
def test_a_handler_gets_dead_letters_and_the_result_is_the_completions(model, by):
    with beam.Pipeline(runner="FnApiRunner") as p:
        with ErrorHandler(beam.Map(lambda letter: (letter.id, letter.error_type))) as handler:
            if by == "argument":
                transform = CompletePrompts(**model, error_handler=handler)
            elif by == "with_error_handler":
                transform = CompletePrompts(**model).with_error_handler(handler)
            else:
                transform = CompletePrompts(**model).with_exception_handling(error_handler=handler)
            done = prompts(p) | transform
        assert_that(ids(done, "good"), equal_to(["good"]))
        assert_that(handler.output(), equal_to([("bad", "BadRequestError")]), "dead letters")


def test_a_collecting_handler_collects_from_several_transforms(model):
    with beam.Pipeline(runner="FnApiRunner") as p:
        with CollectingErrorHandler() as handler:
            rows = p | beam.Create(["one two", "refuse", ""])
            prompts = rows | ToPrompts(error_handler=handler)
            deltas = prompts | StreamCompletions(**model, error_handler=handler)
            whole = deltas | AssembleCompletions(error_handler=handler)
            assert_that(whole | beam.Map(lambda row: row.text), equal_to(["one two"]))
        kinds = handler.output() | "Kinds" >> beam.Map(lambda letter: letter.error_type)
        assert_that(kinds, equal_to(["BadRequestError", "RowError"]), "all dead letters")


def test_deltas_stay_beside_the_completions(model):
    with beam.Pipeline(runner="FnApiRunner") as p:
        with ErrorHandler(beam.Map(lambda letter: letter.id)) as handler:
            transform = CompletePrompts(**model, emit_deltas=True, error_handler=handler)
            done = prompts(p) | transform
        assert done._fields == ("completions", "deltas")
        assert_that(ids(done.completions, "good"), equal_to(["good"]))
        assert_that(
            done.deltas | beam.Map(lambda delta: delta.final),
            equal_to([False] * 5 + [True]),
            "deltas",
        )


def test_a_handler_gets_the_answers_too_that_a_drain_did_not_wait_for():
    p = beam.Pipeline(runner="PrismRunner")
    with ErrorHandler(beam.Map(lambda letter: letter.id)) as handler:
        deltas = prompts(p) | StreamCompletions("openai/m", commit_every=1, error_handler=handler)
    assert deltas.element_type == Delta
    [flatten] = [
        each
        for each in p.to_runner_api().components.transforms.values()
        if each.unique_name == "Flatten"
    ]
    assert len(flatten.inputs) == 2


def test_good_and_bad_have_the_form_of_beams_own(model):
    with beam.Pipeline(runner="FnApiRunner") as p:
        good, bad = prompts(p) | CompletePrompts(**model).with_exception_handling()
        assert_that(ids(good, "good"), equal_to(["good"]))
        message = "BadRequestError: openai/m: No."
        refused = PROMPTS[1]
        assert_that(bad, equal_to([(refused, (BadRequestError, message, []))]), "bad")


def test_bad_elements_can_be_sent_again(model, fake_server):
    with beam.Pipeline(runner="FnApiRunner") as p:
        transform = CompletePrompts(**model).with_exception_handling("ok", "failed")
        done = prompts(p) | transform
        again = done.failed | beam.MapTuple(lambda prompt, _: prompt).with_output_types(Prompt)
        letters = (again | "Again" >> CompletePrompts(**model)).dead_letters
        assert_that(ids(letters, "bad"), equal_to(["bad"]))
    assert len(fake_server.requests) == 3


def test_bad_rows_are_the_rows_that_are_no_prompts():
    with beam.Pipeline(runner="FnApiRunner") as p:
        rows = p | beam.Create([{"prompt": "a", "id": "x"}, {"prompt": 5, "id": "y"}])
        good, bad = rows | ToPrompts().with_exception_handling()
        assert_that(ids(good, "good"), equal_to(["x"]))
        message = "RowError: column 'prompt' must be a text, got a number"
        error = (RitellmError, message, [])
        assert_that(bad, equal_to([({"prompt": 5, "id": "y"}, error)]), "bad")


def test_incomplete_deltas_are_bad(model):
    delta = Delta("a", 1, 0, "half", None, orjson.dumps({"choices": []}).decode())
    with beam.Pipeline(runner="FnApiRunner") as p:
        deltas = p | beam.Create([delta]).with_output_types(Delta)
        good, bad = deltas | AssembleCompletions().with_exception_handling()
        assert_that(good, equal_to([]))
        told = bad | beam.MapTuple(lambda id, error: (id, error[1].partition(":")[0]))
        assert_that(told, equal_to([("a", "IncompleteDeltas")]), "bad")


def test_a_transform_without_a_handler_keeps_its_outputs(model):
    with beam.Pipeline(runner="FnApiRunner") as p:
        transform = CompletePrompts(**model)
        transform.with_exception_handling()  # returns another transform
        done = prompts(p) | transform.with_error_handler(None)
        assert_that(ids(done.dead_letters, "bad"), equal_to(["bad"]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CompletePrompts("openai/m", error_handler=print),
        lambda: StreamCompletions("openai/m").with_error_handler(print),
        lambda: AssembleCompletions(error_handler=print),
        lambda: ToPrompts(error_handler=print),
    ],
)
def test_another_handler_is_refused_at_construction(make):
    wanted = "error_handler must be a Beam ErrorHandler, got a value of type builtin_function"
    with pytest.raises(TypeError, match=f"^{re.escape(wanted)}"):
        make()


def test_a_handler_that_is_not_closed_fails_the_pipeline(model):
    p = beam.Pipeline(runner="FnApiRunner")
    prompts(p) | CompletePrompts(**model, error_handler=ErrorHandler(beam.Map(print)))
    with pytest.raises(RuntimeError, match="Unclosed error handler"):
        p.run()
