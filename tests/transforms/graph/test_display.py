"""What a job's graph shows of the transforms: the model and the limits, and no secret."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.transforms.display import DisplayData

from transforms import (
    AssembleCompletions,
    Caps,
    CompletePrompts,
    FailureLimit,
    NewLedger,
    Prompt,
    StopAbove,
    StreamCompletions,
    ToPrompts,
)
from transforms.journal import NewJournal


def shown(transform):
    """Return the display data and the annotations of the transform in the job graph."""
    p = beam.Pipeline(runner="FnApiRunner")
    prompts = p | beam.Create([Prompt.of_text("top secret prompt")]).with_output_types(Prompt)
    prompts | "Complete" >> transform
    proto = p.to_runner_api()
    [step] = [t for t in proto.components.transforms.values() if t.unique_name == "Complete"]
    data = [api.LabelledPayload.FromString(each.payload) for each in step.display_data]
    values = {each.key: getattr(each, each.WhichOneof("value")) for each in data}
    return values, {name: value.decode() for name, value in step.annotations.items()}, proto


def test_the_step_that_sends_prompts_keeps_its_label_and_its_class():
    """Consoles show the class, and an update matches the steps of a running job by their labels."""
    steps = shown(CompletePrompts("openai/gpt-4o-mini"))[2].components.transforms.values()
    [step] = [each for each in steps if each.unique_name == "Complete/Ask/ParDo(_CompleteFn)"]
    data = [api.LabelledPayload.FromString(each.payload) for each in step.display_data]
    assert "transforms.completions._CompleteFn" in [each.string_value for each in data]


@pytest.mark.parametrize("kind", [CompletePrompts, StreamCompletions])
def test_a_step_shows_its_model_and_its_limits(kind):
    transform = kind(
        "openai/gpt-4o-mini",
        max_in_flight=100,
        rpm=60,
        hedge_after="p95",
        base_url="https://example.com/v1",
        journal=NewJournal("redis://host/3", "out"),
        dedupe=True,
        budget=NewLedger(Caps(usd=5, tokens=1000)),
        temperature=0.5,
        max_tokens=20,
        stop="a text of the user",
        user="someone",
    )
    facts = {
        "base_url": "https://example.com/v1",
        "max_in_flight": 100,
        "rpm": 60,
        "give_up_after": 600.0,
        "hedge_after": "p95",
        "journal": "redis://host/3",
        "dedupe": True,
        "budget": "$5 or 1,000 tokens",
        "max_tokens": 20,
        "temperature": 0.5,
    }
    values, annotations, _ = shown(transform)
    assert values == {"model": "openai/gpt-4o-mini", **facts}
    assert annotations["ritellm_model"] == "openai/gpt-4o-mini"
    assert orjson.loads(annotations["ritellm_settings"]) == facts
    assert annotations["python_type"] == f"transforms.completions.{kind.__name__}"


def test_the_other_steps_show_their_settings():
    def data(transform):
        return {item.key: item.value for item in DisplayData.create_from(transform).items}

    assert data(AssembleCompletions(wait_seconds=9)) == {"wait_seconds": 9}
    assert data(AssembleCompletions()) == {}
    limit = {"share": 0.2, "least": 100, "most_refused": 20}
    assert data(StopAbove(FailureLimit(0.2))) == limit
    asked = ToPrompts(template="Keep this secret: {{ b }} {{ a }}", id="k", param_columns=["seed"])
    assert data(asked) == {"template_columns": "a, b", "id": "k", "param_columns": "seed"}


def test_what_is_not_set_is_not_shown():
    items = DisplayData.create_from(CompletePrompts("openai/m")).items
    keys = {item.key for item in items}
    assert keys == {"model", "max_in_flight", "give_up_after"}


def test_addresses_are_shown_without_users_and_unknown_values():
    transform = CompletePrompts(
        "openai/m",
        journal=NewJournal("redis://someone@host/0?password_env=REDIS_PASSWORD", "out"),
        api_key_file="/run/secrets/key",
    )
    values, annotations, _ = shown(transform)
    assert values["journal"] == "redis://host/0?password_env=[removed]"
    for text in (*map(str, values.values()), *annotations.values()):
        assert "someone" not in text
        assert "secret" not in text
