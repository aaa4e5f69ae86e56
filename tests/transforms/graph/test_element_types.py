"""The types of elements: rows at every output, and inputs that are checked when a job is built."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing

import apache_beam as beam
import orjson
import pytest
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints.decorators import TypeCheckError
from fake_server import api_error, chat_events, stream
from job_coders import output_coders, state_coders
from typed_rows import FrozenRow, NamedRow, OtherRow, UnregisteredRow

from transforms import (
    AssembleCompletions,
    CompletePrompts,
    Completion,
    DeadLetter,
    Delta,
    FailureLimit,
    Prompt,
    PublishDeltas,
    StopAbove,
    StreamCompletions,
    ToPrompts,
)
from transforms.pacing import Pacing

REQUEST = orjson.dumps({"messages": [{"role": "user", "content": "two words"}]}).decode()


def pipeline(*flags):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompts(p):
    return p | "Prompts" >> beam.Create([Prompt("a", REQUEST)]).with_output_types(Prompt)


def no_publisher():
    raise AssertionError("the job is only built")


def test_every_output_of_complete_prompts_is_a_row():
    p = pipeline()
    prompts(p) | "Do" >> CompletePrompts("openai/m", emit_deltas=True)
    assert output_coders(p.to_runner_api(), "Do/") == {
        "Do/Ask.None": "row(Completion)",
        "Do/Ask.deltas": "row(Delta)",
        "Do/Ask.dead_letters": "row(DeadLetter)",
        "Do/Ask.pacing": "row(Pacing)",
        "Do/EmitCompletions.None": "row(Completion)",
        "Do/EmitDeltas.None": "row(Delta)",
        "Do/EmitDeadLetters.None": "row(DeadLetter)",
        "Do/EmitPacing.None": "row(Pacing)",
    }


def test_every_output_of_committed_streams_is_a_row():
    p = beam.Pipeline(runner="PrismRunner")
    prompts(p) | "Do" >> CompletePrompts("openai/m", commit_every=0.2, emit_deltas=True)
    assert output_coders(p.to_runner_api(), "Do/") == {
        "Do/Committed/ByShard.None": "kv(varint, bytes)",
        "Do/Committed/Stream.None": "row(Completion)",
        "Do/Committed/Stream.deltas": "row(Delta)",
        "Do/Committed/Stream.dead_letters": "row(DeadLetter)",
        "Do/Committed/Stream.incomplete": "row(DeadLetter)",
    }


def test_every_output_of_the_transforms_of_deltas_is_a_row():
    p = pipeline()
    found = prompts(p) | "Do" >> StreamCompletions("openai/m")
    found.deltas | "Do/Publish" >> PublishDeltas(no_publisher)
    found.dead_letters | "Do/Stop" >> StopAbove(FailureLimit(0.5))
    coders = output_coders(p.to_runner_api(), "Do/")
    assert coders == {
        "Do/Ask.None": "row(Delta)",
        "Do/Ask.dead_letters": "row(DeadLetter)",
        "Do/EmitDeltas.None": "row(Delta)",
        "Do/EmitDeadLetters.None": "row(DeadLetter)",
        "Do/Publish/Publish.None": "row(Delta)",
        "Do/Stop/Watch.None": "row(DeadLetter)",
    }


def test_every_output_of_assemble_completions_is_a_row():
    p = pipeline()
    deltas = p | beam.Create([]).with_output_types(Delta)
    deltas | "Do" >> AssembleCompletions()
    assert output_coders(p.to_runner_api(), "Do/") == {
        "Do/ById.None": "kv(kv(string_utf8, string_utf8), row(Delta))",
        "Do/Sum/GroupByKey.None": "kv(kv(string_utf8, string_utf8), iterable(row(Delta)))",
        "Do/Sum/Combine.None": "kv(kv(string_utf8, string_utf8), row(Assembled))",
        "Do/Sort.None": "row(Completion)",
        "Do/Sort.incomplete": "row(DeadLetter)",
    }


def test_every_output_and_state_of_assembly_in_a_stream_is_a_row():
    p = pipeline()
    deltas = p | beam.Create([]).with_output_types(Delta)
    deltas | "Do" >> AssembleCompletions(wait_seconds=5)
    job = p.to_runner_api()
    assert output_coders(job, "Do/") == {
        "Do/ById.None": "kv(kv(string_utf8, string_utf8), row(Delta))",
        "Do/Await.None": "row(Completion)",
        "Do/Await.incomplete": "row(DeadLetter)",
    }
    assert state_coders(job) == {
        "deltas": "row(Delta)",
        "progress": "varint",
        "missing": "string_utf8",
        "newest": "varint",
    }


ELEMENTS = [
    Prompt("é", "{}", None, "f:1", None),
    Delta("a", 1, 7, " word", None, "{}"),
    Completion("a", "x", *[None] * 12, 1, "{}"),
    DeadLetter("a", "{}", "E", "m", 400, False, 1, "half", usage="{}"),
    Pacing(3, {"rpm": 1}, {"rpm": 0.5}, 1.5),
]


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: type(element).__name__)
def test_an_element_is_the_same_after_its_coder(element):
    coder = coders.registry.get_coder(type(element))
    assert isinstance(coder, coders.RowCoder)
    found = coder.decode(coder.encode(element))
    assert found == element
    assert type(found) is type(element)


def test_a_worker_decodes_our_classes_though_it_read_the_coder_before_it_imported_them():
    coder = coders.registry.get_coder(Delta)
    schema = coder.to_runner_api(None).spec.payload
    data = coder.encode(Delta("a", 1, 7, " word", None, "{}"))
    program = (
        "from apache_beam import coders\n"
        "from apache_beam.portability.api import schema_pb2\n"
        f"coder = coders.RowCoder(schema_pb2.Schema.FromString({schema!r}))\n"
        f"coder.decode({data!r})\n"
        "from transforms.elements import Delta\n"
        f"assert type(coder.decode({data!r})) is Delta\n"
        f"assert coder.decode({data!r}) == Delta('a', 1, 7, ' word', None, '{{}}')\n"
        "assert coder.schema.id == coders.registry.get_coder(Delta).schema.id\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ROWS = {
    "a Row of needed columns": beam.Row(id="a", request=REQUEST),
    "a Row with more columns": beam.Row(request=REQUEST, score=0.5, id="a", input="7"),
    "a NamedTuple": NamedRow("a", REQUEST, 7),
    "a frozen dataclass": FrozenRow(REQUEST, "a"),
    "a dataclass that Beam does not know": UnregisteredRow("a", REQUEST),
    "a dead letter": DeadLetter("a", REQUEST, "E", "m", None, True, 1, ""),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_row_with_the_columns_of_a_prompt_is_a_prompt(fake_server, row):
    with pipeline() as p:
        done = p | beam.Create([row]) | CompletePrompts("openai/m", base_url=fake_server.base_url)
        texts = done.completions | beam.Map(lambda c: (c.id, c.text))
        assert_that(texts, equal_to([("a", "two words")]))


def test_nulls_are_refused_only_in_the_columns_that_a_prompt_needs():
    def row_of(_):
        return beam.Row(id="a", request="{}", input=None, place=None, key=None)

    def without_id(_):
        return beam.Row(id=None, request="{}")

    numbers = pipeline() | beam.Create([0])
    assert numbers | beam.Map(row_of) | CompletePrompts("openai/m")
    with pytest.raises(TypeCheckError, match="got a row whose column id is NoneType"):
        numbers | beam.Map(without_id) | "Without id" >> CompletePrompts("openai/m")


def test_rows_behind_a_shuffle_are_prompts(fake_server):
    with pipeline("--streaming") as p:
        rows = p | beam.Create([beam.Row(id="a", request=REQUEST)]) | beam.Reshuffle()
        streamed = rows | StreamCompletions("openai/m", base_url=fake_server.base_url)
        done = streamed.deltas | AssembleCompletions()
        assert_that(done.completions | beam.Map(lambda c: c.text), equal_to(["two words"]))


def test_a_row_keeps_the_columns_of_a_prompt(fake_server):
    fake_server.script = lambda request: api_error(400, "invalid_request_error", "x", "No.")
    row = beam.Row(id="a", request=REQUEST, input='{"n":7}', place="f:3")
    with pipeline() as p:
        done = p | beam.Create([row]) | CompletePrompts("openai/m", base_url=fake_server.base_url)
        kept = done.dead_letters | beam.Map(lambda d: (d.id, d.request, d.input, d.place))
        assert_that(kept, equal_to([("a", REQUEST, '{"n":7}', "f:3")]))


NEEDED = " needs elements of type Prompt, or rows with the columns id, request, got "
HOW = "; transforms.ToPrompts makes prompts of texts, dicts and rows"
REFUSED = {
    "str": (["hello"], "str"),
    "dict": ([{"id": "a", "request": "{}"}], "Dict[str, str]"),
    "key and value": ([("a", "b")], "Tuple[str, str]"),
    "bytes": ([b"x"], "bytes"),
    "a Row without request": ([beam.Row(id="a", text="x")], "a row with the columns id, text"),
    "a Row with another id": ([beam.Row(id=7, request="{}")], "a row whose column id is int"),
    "a Row with another key": (
        [beam.Row(id="a", request="{}", key=7)],
        "a row whose column key is int",
    ),
    "another NamedTuple": ([OtherRow("a", "x")], "a row with the columns id, text"),
}


@pytest.mark.parametrize(("rows", "got"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("kind", [CompletePrompts, StreamCompletions])
def test_elements_of_another_type_are_refused_when_the_job_is_built(rows, got, kind):
    with pytest.raises(TypeCheckError) as raised:
        pipeline() | beam.Create(rows) | kind("openai/m")
    assert str(raised.value) == kind.__name__ + NEEDED + got + HOW


@pytest.mark.parametrize("kind", [AssembleCompletions, lambda: PublishDeltas(no_publisher)])
@pytest.mark.parametrize("element", [str, Completion, tuple[str, Delta]])
def test_only_deltas_are_assembled_and_published(kind, element):
    elements = pipeline() | beam.Create([]).with_output_types(element)
    with pytest.raises(TypeCheckError, match="needs elements of type Delta, or rows with the colu"):
        elements | kind()


def test_outputs_of_another_model_are_refused_with_their_type():
    done = prompts(pipeline()) | CompletePrompts("openai/m")
    with pytest.raises(TypeCheckError, match="got a row with the columns id, text, finish_reason"):
        done.completions | "Again" >> CompletePrompts("openai/m")


HALF = "a prompt must not have half a surrogate pair"
A_PROMPT = "an element must be a Prompt, or a row with the columns id and request, got "
WRONG = {
    "str": ("hello", "", A_PROMPT + "str", '"hello"'),
    "dict": ({"id": "a"}, "", A_PROMPT + "dict", '{"id":"a"}'),
    "bytes": (b"x", "", A_PROMPT + "bytes", "\"b'x'\""),
    "null": (None, "", A_PROMPT + "null", "null"),
    "no request": (beam.Row(id="b"), "b", "'request' must be a text, got null", '{"id":"b"}'),
    "id null": (Prompt(None, "{}", "{}"), "", "'id' must be a text, got null", "{}"),
    "id a number": (Prompt(7, "{}", "{}"), "7", "'id' must be a text, got int", "{}"),
    "an object": (Prompt("c", {"x": 1}, "{}"), "c", "'request' must be a text, got dict", "{}"),
    "input an object": (
        beam.Row(id="d", request="{}", input={"n": 7}),
        "d",
        "'input' must be a text, got dict",
        '{"n":7}',
    ),
    "half a pair": (Prompt("\ud800", "{}", "{}"), "\\ud800", HALF, "{}"),
}


@pytest.mark.parametrize("kind", [CompletePrompts, StreamCompletions])
def test_elements_that_are_no_prompts_become_dead_letters_that_are_not_paid(fake_server, kind):
    everything = [*(element for element, *_ in WRONG.values()), Prompt("good", REQUEST)]
    with pipeline() as p:
        unknown = p | beam.Create([0]) | beam.FlatMap(lambda _: everything)
        elements = unknown | beam.Map(lambda x: x).with_output_types(typing.Any)
        done = elements | kind("openai/m", base_url=fake_server.base_url)
        letters = done.dead_letters | beam.Reshuffle()  # so that Beam encodes them
        told = letters | beam.Map(lambda d: (d.id, d.message.partition(";")[0], d.input))
        assert_that(told, equal_to([(id, why, input) for _, id, why, input in WRONG.values()]))
        paid = letters | beam.Map(lambda d: (d.error_type, d.attempts, d.retryable))
        refused = ("InvalidRequestError", 0, False)
        assert_that(paid, equal_to([refused] * len(WRONG)), label="not paid")
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize("kind", [CompletePrompts, StreamCompletions])
@pytest.mark.parametrize("flag", ["--runtime_type_check", "--performance_runtime_type_check"])
def test_beams_checks_of_types_at_run_time_pass(fake_server, flag, kind):
    replies = [stream(*chat_events("fine")), api_error(400, "invalid_request_error", "x", "No.")]
    fake_server.enqueue(*replies)
    with pipeline(flag) as p:
        rows = p | beam.Create([Prompt("a", REQUEST), Prompt("b", REQUEST)])
        done = rows | kind("openai/m", base_url=fake_server.base_url, max_in_flight=1)
        if kind is StreamCompletions:
            assembled = done.deltas | AssembleCompletions()
            assert_that(assembled.completions | beam.Map(lambda c: c.text), equal_to(["fine"]))
        else:
            assert_that(done.completions | beam.Map(lambda c: c.text), equal_to(["fine"]))
        assert_that(done.dead_letters | beam.Map(lambda d: d.id), equal_to(["b"]), label="letters")


@pytest.mark.parametrize("unique_ids", [True, False])
def test_prompts_of_rows_pass_beams_checks_of_types_at_run_time(unique_ids):
    rows = [{"id": "a", "prompt": "one"}, {"id": "b"}]
    with pipeline("--runtime_type_check") as p:
        made = p | beam.Create(rows) | ToPrompts(id="id", unique_ids=unique_ids)
        assert_that(made.prompts | beam.Map(lambda x: x.id), equal_to(["a"]))
        letters = made.dead_letters | "Letters" >> beam.Map(lambda d: d.error_type)
        assert_that(letters, equal_to(["RowError"]), label="letters")


def test_every_output_of_to_prompts_is_a_row():
    p = pipeline()
    p | beam.Create([{"id": "a", "prompt": "one"}]) | "Do" >> ToPrompts(id="id")
    coders = output_coders(p.to_runner_api(), "Do/")
    assert coders["Do/Parse.None"] == "kv(string_utf8, row(Prompt))"
    assert coders["Do/Parse.dead_letters"] == "row(DeadLetter)"
    assert coders["Do/Unique/Number.None"] == "row(Prompt)"
    assert coders["Do/DeadLetters.None"] == "row(DeadLetter)"


def test_outputs_have_names():
    done = prompts(pipeline()) | CompletePrompts("openai/m")
    assert [*done] == ["completions", "dead_letters", "pacing"]
    assert done.completions is done["completions"]
    with pytest.raises(AttributeError, match="completions, dead_letters, pacing, got 'deltas'"):
        _ = done.deltas


def test_a_dataclass_under_postponed_annotations_has_types():
    rows = pipeline() | beam.Create([UnregisteredRow("a", "{}")])
    assert rows | CompletePrompts("openai/m")
    assert typing.get_type_hints(UnregisteredRow) == {"id": str, "request": str}
    assert [field.type for field in dataclasses.fields(UnregisteredRow)] == ["str", "str"]


@pytest.mark.parametrize(
    ("outputs", "transform", "wanted"),
    [
        (
            lambda p: prompts(p) | StreamCompletions("openai/m"),
            AssembleCompletions(),
            "AssembleCompletions needs one PCollection, got one with the outputs deltas,"
            " dead_letters; pass on its output .deltas",
        ),
        (
            lambda p: p | beam.Create(["a"]) | ToPrompts(),
            AssembleCompletions(),
            "AssembleCompletions needs one PCollection, got one with the outputs prompts,"
            " dead_letters; transforms.StreamCompletions has them in its output .deltas",
        ),
        (
            lambda p: p | beam.Create(["a"]) | ToPrompts().with_exception_handling(),
            CompletePrompts("openai/m"),
            "CompletePrompts needs one PCollection, got one with the outputs good, bad; pass on its"
            " output .good",
        ),
        (
            lambda p: (
                p | beam.Create([Prompt("a", "")]) | beam.Map(str).with_outputs("odd", main="fine")
            ),
            CompletePrompts("openai/m"),
            "CompletePrompts needs one PCollection, got a step with several outputs; pass on one",
        ),
    ],
)
def test_a_transform_with_several_outputs_cannot_be_an_input_and_the_error_names_one(
    outputs, transform, wanted
):
    with pytest.raises(TypeCheckError) as raised:
        outputs(pipeline()) | transform
    assert wanted in str(raised.value)
