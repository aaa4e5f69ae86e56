"""The transforms for Beam YAML, without its parser: arguments, schemas, and failed rows."""

from __future__ import annotations

import re
from pathlib import Path

import apache_beam as beam
import pytest
import yaml as pyyaml
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints.decorators import TypeCheckError
from fake_server import api_error, chat_stream

from transforms import DeadLetter, Prompt, yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS = [beam.Row(id="a", prompt="one two"), beam.Row(id="b", prompt="three")]


def test_the_listing_names_each_transform():
    [provider] = pyyaml.safe_load((ROOT / "templates/yaml/ritellm.yaml").read_text())
    for name, place in provider["transforms"].items():
        module, _, member = place.rpartition(".")
        assert (module, member) == ("transforms.yaml", name)
        assert getattr(yaml, member).__module__ == module


def test_rows_become_completions_and_deltas(fake_server):
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (p | beam.Create(ROWS) | yaml.ToPrompts())["output"]
        done = prompts | yaml.CompletePrompts(
            "openai/m", emit_deltas=True, base_url=fake_server.base_url, timeout=5
        )
        assert done.keys() == {"output", "deltas"}
        texts = done["output"] | "Texts" >> beam.Map(lambda row: (row.id, row.text))
        assert_that(texts, equal_to([("a", "one two"), ("b", "three")]))
        assert prompts.element_type == Prompt


def test_a_row_of_another_transform_is_a_prompt(fake_server):
    request = Prompt.of_text("one two").request
    with beam.Pipeline(runner="FnApiRunner") as p:
        rows = p | beam.Create([beam.Row(more=1, request=request, id="a")])
        streamed = rows | yaml.StreamCompletions("openai/m", base_url=fake_server.base_url)
        whole = streamed["output"] | yaml.AssembleCompletions()
        assert_that(whole["output"] | beam.Map(lambda row: row.text), equal_to(["one two"]))


SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "count": {"type": "integer"},
        "score": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "who": {"type": "object", "properties": {"name": {"type": "string"}}},
        "any": {},
    },
    "required": ["label"],
}


def test_the_properties_of_a_checked_answer_are_columns_with_types(fake_server):
    pytest.importorskip("jsonschema_rs")
    answer = '{"label": "good", "count": 2.0, "score": 1, "tags": ["a"], "who": {"name": "n"}'
    fake_server.enqueue(chat_stream('{"label": "ugly"}'), chat_stream(answer + ', "any": [1]}'))
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (p | beam.Create(ROWS[:1]) | yaml.ToPrompts())["output"]
        done = prompts | yaml.CompletePrompts(
            "openai/m", answer_schema=SCHEMA, base_url=fake_server.base_url
        )
        rows = done["output"] | beam.Reshuffle()  # through the coder of the rows
        told = rows | beam.Map(
            lambda row: (
                row.id,
                row.label,
                row.count,
                row.score,
                [*row.tags],
                row.who.name,
                row.any,
            )
        )
        assert_that(told, equal_to([("a", "good", 2, 1.0, ["a"], "n", "[1]")]))
        facts = rows | beam.Map(lambda row: (row.reasks, row.answer_mode, row.other_answer))
        assert_that(facts, equal_to([(1, "json_schema", None)]), "Facts")


def test_values_without_a_column_are_kept_as_json(fake_server):
    pytest.importorskip("jsonschema_rs")
    large = 1 << 70
    answer = f'{{"label": "bad", "count": {large}, "who": {{"name": "n", "age": 3}}, "more": true}}'
    fake_server.enqueue(chat_stream(answer))
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (p | beam.Create(ROWS[:1]) | yaml.ToPrompts())["output"]
        done = prompts | yaml.CompletePrompts(
            "openai/m", answer_schema=SCHEMA, base_url=fake_server.base_url
        )
        rows = done["output"] | beam.Reshuffle()
        told = rows | beam.Map(lambda r: (r.label, r.count, r.who, r.tags, r.other_answer))
        other = f'{{"count":{large},"who":{{"name":"n","age":3}},"more":true}}'
        assert_that(told, equal_to([("bad", None, None, None, other)]))


def test_records_are_rows_and_those_of_whole_answers_are_kept(fake_server):
    pytest.importorskip("jsonschema_rs")
    replies = {"one two": '{"items": [1, "x"]}', "three": '{"items": [3, 4'}
    fake_server.script = lambda request: chat_stream(
        replies[request.json["messages"][0]["content"]], finish_reason="length"
    )
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (p | beam.Create(ROWS) | yaml.ToPrompts())["output"]
        streamed = prompts | yaml.StreamRecords(
            "openai/m",
            path="$.items[*]",
            schema={"type": "integer"},
            base_url=fake_server.base_url,
            error_handling={"output": "bad"},
        )
        failed = streamed["bad"] | "Failed" >> beam.Map(lambda row: (row.id, row.error_type))
        assert_that(failed, equal_to([("b", "RecordsTruncated")]), "Truncated")
        whole = streamed["output"] | yaml.AssembleRecords(error_handling={"output": "parts"})
        told = whole["output"] | beam.Map(lambda row: (row.id, row.value, row.valid))
        assert_that(told, equal_to([("a", "1", True), ("a", '"x"', False)]))
        parts = whole["parts"] | "Parts" >> beam.Map(lambda row: (row.id, row.error_type))
        assert_that(parts, equal_to([("b", "IncompleteRecords")]), "Incomplete")


def test_failures_have_the_fields_of_beams_and_of_a_dead_letter(fake_server):
    fake_server.script = lambda _: api_error(400, "invalid_request_error", "x", "No.")
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (p | beam.Create(ROWS[:1]) | yaml.ToPrompts())["output"]
        done = prompts | yaml.CompletePrompts(
            "openai/m", base_url=fake_server.base_url, error_handling={"output": "bad"}
        )
        told = done["bad"] | beam.Map(
            lambda row: (row.element.id, row.element.request != "", row.msg, row.stack, row.message)
        )
        message = "openai/m: No."
        assert_that(told, equal_to([("a", True, f"BadRequestError: {message}", "", message)]))
        assert done["bad"].element_type is yaml.Failure
        coder = beam.coders.registry.get_coder(yaml.Failure)
        assert isinstance(coder, beam.coders.RowCoder)


def test_prompts_that_a_drain_gives_up_are_failures_too():
    p = beam.Pipeline(runner="PrismRunner")
    prompts = (p | beam.Create(ROWS) | yaml.ToPrompts())["output"]
    options = {"commit_every": 0.5, "shards": 4, "drain_seconds": 60}
    handled = {"error_handling": {"output": "bad"}}
    done = prompts | yaml.StreamCompletions("openai/m", **options, **handled)
    assert done.keys() == {"output", "bad"}
    [flatten] = [
        step
        for step in p.to_runner_api().components.transforms.values()
        if step.unique_name == "StreamCompletions/Failed"
    ]
    assert len(flatten.inputs) == 2


def test_without_error_handling_a_failed_row_fails_the_job():
    p = beam.Pipeline(runner="FnApiRunner")
    p | beam.Create([beam.Row(prompt="")]) | yaml.ToPrompts()
    wanted = "failed: RowError: column 'prompt' must not be empty; to go on without failed rows"
    with pytest.raises(Exception, match=re.escape(wanted)):
        p.run()


def test_a_budget_and_a_journal_are_made_of_plain_values(tmp_path):
    made = yaml.CompletePrompts(
        "openai/gpt-4o-mini", journal=f"sqlite:{tmp_path}/j.sqlite", max_cost_usd=2.5, job="night"
    )
    facts = made._transform.display_data()
    assert facts["journal"] == f"sqlite:{tmp_path}/j.sqlite"
    assert facts["budget"] == "$2.5"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: yaml.CompletePrompts(5), "model must be a text, got 5"),
        (lambda: yaml.CompletePrompts("opnai/m"), "unknown provider 'opnai' in 'opnai/m'; did you"),
        (
            lambda: yaml.CompletePrompts("openai/m", max_tokns=5),
            "unknown parameter 'max_tokns'; did",
        ),
        (lambda: yaml.CompletePrompts("openai/m", rpm="9"), "rpm must be a number, got '9'"),
        (
            lambda: yaml.CompletePrompts("openai/m", reasks=1),
            "reasks needs answer_columns or answer_schema",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", answer_schema="s.json"),
            "answer_schema must be an object, got 's.json'",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", answer_columns="a:int", answer_schema=SCHEMA),
            "are one option: leave out one of them",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", answer_columns="text:str"),
            "the property 'text' of the answer has the name of a column of each row; rename it",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", answer_columns="class:str"),
            "the property 'class' of the answer cannot be a column of Beam, whose names",
        ),
        (lambda: yaml.CompletePrompts("openai/m", rpm=True), "rpm must be a number, got True"),
        (lambda: yaml.CompletePrompts("openai/m", dedupe=1), "dedupe must be true or false, got 1"),
        (
            lambda: yaml.CompletePrompts("openai/m", max_tokens="9"),
            "max_tokens must be a whole number",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", hedge_after=[]),
            "hedge_after must be seconds or a",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", emit_deltas="x"),
            "emit_deltas must be true or false",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", api_key="sk-x"),
            "unknown parameter 'api_key'; did you",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", journal="auto"),
            "journal must be sqlite:PATH, redis:",
        ),
        (
            lambda: yaml.CompletePrompts("openai/m", journal="nope"),
            "the journal must be auto, none, sql",
        ),
        (lambda: yaml.CompletePrompts("openai/m", max_cost_usd=5), "openai/m"),
        (
            lambda: yaml.StreamCompletions("openai/m", {"tag": "x"}),
            "error_handling must be {output: NAME}",
        ),
        (
            lambda: yaml.StreamCompletions("openai/m", {"output": "output"}),
            "error_handling must be {out",
        ),
        (lambda: yaml.AssembleCompletions("x"), "wait_seconds must be a number, got 'x'"),
        (lambda: yaml.ToPrompts(promt="x"), "'promt' is not a parameter of a request"),
    ],
)
def test_wrong_arguments_are_one_sentence_at_construction(make, reason):
    with pytest.raises(Exception, match=re.escape(reason)) as raised:
        make()
    assert "\n" not in str(raised.value)
    assert "sk-x" not in str(raised.value)


def test_an_input_without_prompts_is_refused_at_construction():
    rows = beam.Pipeline(runner="FnApiRunner") | beam.Create([beam.Row(question="x")])
    needs = "needs elements of type Prompt, or rows with the columns id, request, got a row"
    with pytest.raises(TypeCheckError, match=f"{needs} with the columns question.*ToPrompts"):
        rows | yaml.CompletePrompts("openai/m")


def test_the_columns_of_failures_are_beams_and_those_of_dead_letters():
    more = [name for name in DeadLetter._fields if name != "request"]
    assert list(yaml.Failure._fields) == ["element", "msg", "stack", *more]
