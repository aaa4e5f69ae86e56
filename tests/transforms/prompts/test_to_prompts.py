"""Rows of other people's pipelines become prompts, or dead letters that say why not."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections import Counter, UserDict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import apache_beam as beam
import numpy as np
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.testing import test_stream
from apache_beam.transforms.error_handling import ErrorHandler
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue
from fake_server import api_error, echo

from transforms import CompletePrompts, Completion, DeadLetter, Prompt, ToPrompts
from transforms.prompts.to_prompts import _ParseFn


class Question(NamedTuple):
    id: str
    question: str


@dataclasses.dataclass
class Sheet:
    id: int
    question: str


# What the steps of a pipeline have seen; they run in this process.
SEEN: list[tuple[str, Any, float]] = []


def keep(element: Any, name: str, timestamp: Any = beam.DoFn.TimestampParam) -> None:
    SEEN.append((name, element, float(timestamp)))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


def seen(name: str) -> list[Any]:
    return sorted(element for each, element, _ in SEEN if each == name)


def turned(rows, transform, element_type=None, windows=None, source=None):
    """Return the prompts and the dead letters of `rows`, each sorted."""
    with beam.Pipeline(runner="FnApiRunner") as p:
        made = beam.Create(rows)
        read = p | "Rows" >> (made.with_output_types(element_type) if element_type else made)
        if windows is not None:
            read = read | beam.WindowInto(windows)
        found = read | transform
        assert (found.prompts.element_type, found.dead_letters.element_type) == (Prompt, DeadLetter)
        found.prompts | "KeepPrompts" >> beam.Map(keep, "prompts")
        found.dead_letters | "KeepLetters" >> beam.Map(keep, "letters")
    return seen("prompts"), seen("letters")


def prompt_of(row, transform, element_type=None):
    prompts, letters = turned([row], transform, element_type)
    assert letters == []
    [prompt] = prompts
    return prompt


def reason_of(row, transform):
    prompts, letters = turned([row], transform, Any)
    assert prompts == []
    [letter] = letters
    assert (letter.error_type, letter.attempts, letter.retryable) == ("RowError", 0, False)
    return letter.message


def texts(prompts):
    """Return the text of each prompt by its id."""
    return {p.id: orjson.loads(p.request)["messages"][0]["content"] for p in prompts}


ASKED = '{"messages":[{"role":"user","content":"Why?"}]}'


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        (Question("a", "Why?"), Question),
        (Question("a", "Why?"), None),
        (beam.Row(id="a", question="Why?"), None),
        ({"id": "a", "question": "Why?"}, None),
        (UserDict({"id": "a", "question": "Why?"}), Any),
    ],
    ids=["typed NamedTuple", "NamedTuple", "Row", "dict", "another mapping"],
)
def test_rows_of_each_kind_become_prompts(row, hint):
    found = prompt_of(row, ToPrompts(prompt="question"), hint)
    assert found == Prompt("a", ASKED, '{"id":"a","question":"Why?"}')


def test_a_dataclass_with_a_number_as_id_becomes_a_prompt():
    found = prompt_of(Sheet(7, "Why?"), ToPrompts(prompt="question", id="id"), Sheet)
    assert found == Prompt("7", ASKED, '{"id":7,"question":"Why?"}')


@pytest.mark.parametrize("text", ["Why?", b"Why?"])
def test_a_text_is_a_row_with_the_column_prompt(text):
    found = prompt_of(text, ToPrompts())
    assert found._replace(id="") == Prompt("", ASKED, '{"prompt":"Why?"}')


def test_two_equal_texts_are_two_prompts_with_the_same_ids_in_each_run():
    first, _ = turned(["Why?", "How?", "Why?"], ToPrompts())
    SEEN.clear()
    again, _ = turned(["Why?", "Why?", "How?"], ToPrompts())
    assert len({prompt.id for prompt in first}) == 3
    assert sorted(texts(first).values()) == ["How?", "Why?", "Why?"]
    assert first == again


def test_equal_texts_are_each_completed(fake_server):
    with beam.Pipeline(runner="FnApiRunner") as p:
        made = p | beam.Create(["one two"] * 5) | ToPrompts()
        done = made.prompts | CompletePrompts("openai/m", base_url=fake_server.base_url)
        done.completions | beam.Map(lambda row: row.id) | beam.Map(keep, "ids")
    assert len(fake_server.requests) == len(set(seen("ids"))) == 5


def test_a_repeated_id_is_a_dead_letter_with_its_row():
    rows = [
        {"id": "a", "prompt": "Why?"},
        {"id": "a", "prompt": "How?"},
        {"id": "b", "prompt": "?"},
    ]
    prompts, [letter] = turned(rows, ToPrompts(id="id"))
    assert [prompt.id for prompt in prompts] == ["a", "b"]
    assert (letter.id, letter.error_type) == ("a", "DuplicateIdError")
    assert letter.message == "another row has the id 'a'; ids must be unique"
    kept = texts(prompts)["a"]
    assert orjson.loads(letter.input) == {"id": "a", "prompt": "How?" if kept == "Why?" else "Why?"}
    assert orjson.loads(letter.request)["messages"][0]["content"] != kept


def test_an_id_does_not_collide_with_the_digest_of_a_row():
    digest = prompt_of("Why?", ToPrompts()).id
    SEEN.clear()
    rows = [{"prompt": "Why?"}, {"id": "x", "prompt": "Why?"}]
    prompts, letters = turned(rows, ToPrompts())
    assert ({prompt.id for prompt in prompts}, letters) == ({digest, "x"}, [])


def test_repeated_ids_pass_where_the_check_is_off():
    rows = [{"id": "a", "prompt": "Why?"}, {"id": "a", "prompt": "How?"}]
    prompts, letters = turned(rows, ToPrompts(id="id", unique_ids=False))
    assert (len(prompts), letters) == (2, [])


def test_without_the_check_equal_texts_are_still_two_prompts():
    prompts, _ = turned(["Why?", "Why?"], ToPrompts(unique_ids=False))
    assert len({prompt.id for prompt in prompts}) == 2


@pytest.mark.parametrize(
    ("windows", "hint"), [(FixedWindows(10), None), (SlidingWindows(60, 10), None)]
)
def test_in_windows_a_row_is_one_prompt_with_its_timestamp(fake_server, windows, hint):
    with beam.Pipeline(runner="FnApiRunner") as p:
        rows = p | beam.Create([TimestampedValue("Why?", 100), TimestampedValue("Why?", 105)])
        made = rows | beam.WindowInto(windows) | ToPrompts()
        made.prompts | beam.Map(keep, "prompts")
        assert made.prompts.windowing.windowfn == windows
    # `keep` reads no window, so Beam calls it once for an element in several windows.
    assert Counter(when for _, _, when in SEEN) == {100: 1, 105: 1}
    assert len({prompt.id for prompt in seen("prompts")}) == 2


def test_a_stream_of_equal_texts_is_a_stream_of_prompts():
    options = PipelineOptions()
    options.view_as(StandardOptions).streaming = True
    with beam.Pipeline(runner="BundleBasedDirectRunner", options=options) as p:
        texts = test_stream.TestStream().add_elements(["Why?"]).add_elements(["Why?"])
        made = p | texts.advance_watermark_to_infinity() | ToPrompts()
        made.prompts | beam.Map(keep, "prompts")
    assert len({prompt.id for prompt in seen("prompts")}) == 2


def test_messages_and_parameters_of_the_row_and_of_all_rows():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    row = {"id": "a", "chat": messages, "temperature": 0.5, "n": 3, "seed": None}
    transform = ToPrompts(
        messages="chat", param_columns=["temperature", "seed"], max_tokens=9, seed=1
    )
    request = orjson.loads(prompt_of(row, transform).request)
    assert request == {"messages": messages, "temperature": 0.5, "max_tokens": 9, "seed": 1}


def test_messages_may_be_json_rows_or_an_array():
    wanted = {"messages": [{"role": "user", "content": "Why?"}]}
    row = beam.Row(role="user", content="Why?")
    for chat in ('[{"role": "user", "content": "Why?"}]', [row], (row,), np.array([row])):
        request = prompt_of({"messages": chat}, ToPrompts()).request
        assert orjson.loads(request) == wanted
        SEEN.clear()


def test_values_that_json_lacks_become_texts_in_the_input():
    row = {
        "id": UUID(int=5),
        "prompt": "Why?",
        "day": datetime.date(2026, 1, 2),
        "price": Decimal("1.50"),
        "raw": b"\xff!",
        "many": 10**30,
        "list": np.array([1, 2]),
        "nested": beam.Row(a=5),
        5: {"x"},
    }
    found = prompt_of(row, ToPrompts())
    assert found.id == "00000000-0000-0000-0000-000000000005"
    columns = orjson.loads(found.input.replace(str(10**30), '"many"'))
    assert columns == {
        "id": found.id,
        "prompt": "Why?",
        "day": "2026-01-02",
        "price": "1.50",
        "raw": "\\xff!",
        "many": "many",
        "list": [1, 2] if isinstance(columns["list"], list) else "[1 2]",
        "nested": {"a": 5},
        "5": ["x"],
    }


def test_a_template_fills_in_columns_and_runs_nothing_of_a_row():
    row = {"id": "a", "name": "{{ 7 * 7 }}", "tags": ["x", "y"], "of": {"kind": "cat"}}
    transform = ToPrompts(template="{{ name }}: {{ tags|join(',') }} {{ of.kind }}")
    assert texts([prompt_of(row, transform)]) == {"a": "{{ 7 * 7 }}: x,y cat"}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ x['__class__'] }}", "'str object' has no attribute '__class__'"),
        ("{{ y }}", "'y' is undefined"),
        ("{{ nothing }}", "column 'nothing' is null; write {{ nothing or '' }} if it may be"),
        ("{{ x / 2 }}", "unsupported operand"),
        ("{% if x == 'no' %}a{% endif %}", "^the text of the template must not be empty$"),
    ],
)
def test_a_template_that_cannot_be_filled_is_a_dead_letter(template, reason):
    row = {"x": "Why?", "nothing": None, "list": [1]}
    assert re.search(reason, reason_of(row, ToPrompts(template=template)).replace("\n", " "))


@pytest.mark.parametrize(
    ("row", "given", "reason"),
    [
        (
            None,
            {},
            "an element must be a text, a dict, a Row, a NamedTuple or a dataclass, got null",
        ),
        (
            5,
            {},
            "an element must be a text, a dict, a Row, a NamedTuple or a dataclass, got a number",
        ),
        (b"\xff", {}, "a text must be UTF-8, got 0xff at byte 1"),
        ("", {}, "column 'prompt' must not be empty"),
        (" \n", {}, "column 'prompt' must not be empty"),
        ({"prompt": None}, {}, "column 'prompt' must be a text, got null"),
        ({"prompt": 5}, {}, "column 'prompt' must be a text, got a number"),
        ({"text": "x"}, {}, "a row must have 'prompt' or 'messages', got text"),
        ({"text": "x"}, {"prompt": "q"}, "the row has no column 'q'; it has text"),
        (
            {"m": 5},
            {"messages": "m"},
            "column 'm' must be a list of messages, got a number",
        ),
        ({"m": []}, {"messages": "m"}, "column 'm' must have at least one message"),
        ({"m": "[nonsense"}, {"messages": "m"}, "column 'm' must be a list or the JSON of one ("),
        (
            {"m": [5]},
            {"messages": "m"},
            "column 'm' must be a list of objects, got a number",
        ),
        ({"m": [{"a": {1}}]}, {"messages": "m"}, "the request cannot be written as JSON ("),
        (
            {"prompt": "x", "k": None},
            {"id": "k"},
            "column 'k' must be a text or a whole number, got null",
        ),
        ({"prompt": "x"}, {"id": "k"}, "the row has no column 'k'; it has prompt"),
        (
            {"prompt": "x", "k": ""},
            {"id": "k"},
            "column 'k' must not be empty; each row needs an id",
        ),
        (
            {"prompt": "x", "k": True},
            {"id": "k"},
            "column 'k' must be a text or a whole number, got a",
        ),
        (
            {"prompt": "x", "k": 1.5},
            {"id": "k"},
            "column 'k' must be a text or a whole number, got a",
        ),
    ],
)
def test_a_row_that_cannot_be_a_prompt_is_a_dead_letter(row, given, reason):
    assert reason_of(row, ToPrompts(**given)).startswith(reason)


def test_a_dead_letter_has_the_row_and_an_id_of_its_own():
    _, letters = turned([{"a": 1}, {"a": 2}, 5], ToPrompts(), Any)
    assert len({letter.id for letter in letters}) == 3
    assert {letter.input for letter in letters} == {'{"a":1}', '{"a":2}', None}


def test_a_dead_letter_has_the_id_of_its_row():
    rows = [{"sku": 7, "text": ""}, {"sku": "b", "text": None}, {"text": ""}]
    _, letters = turned(rows, ToPrompts(prompt="text", id="sku"), Any)
    ids = {letter.id for letter in letters}
    assert {"7", "b"} < ids
    assert [len(id) for id in ids - {"7", "b"}] == [32]  # the digest of a row without an id


def test_a_dead_letter_has_the_id_in_the_column_id():
    _, [letter] = turned([{"id": "a", "prompt": ""}], ToPrompts(), Any)
    assert letter.id == "a"


def told(done):
    """Keep what comes out of a transform with a model."""
    texts = done.completions | "Texts" >> beam.Map(lambda row: (row.id, row.text))
    texts | "KeepTexts" >> beam.Map(keep, "said")
    reasons = done.dead_letters | "Reasons" >> beam.Map(lambda row: (row.id, row.message))
    reasons | "KeepReasons" >> beam.Map(keep, "failed")


def test_rows_go_through_to_prompts_to_completions_in_one_chain(fake_server):
    rows = [{"id": "a", "prompt": "one two"}, {"id": "b", "prompt": ""}, {"id": "c", "prompt": "x"}]
    refuse = {"x": api_error(400, "invalid_request_error", "x", "No.")}
    fake_server.script = lambda r: refuse.get(r.json["messages"][-1]["content"]) or echo(r)
    asking = CompletePrompts("openai/m", base_url=fake_server.base_url)
    with beam.Pipeline(runner="FnApiRunner") as p:
        done = p | beam.Create(rows) | ToPrompts() | asking
        assert done.dead_letters.element_type == DeadLetter
        told(done)
    assert seen("said") == [("a", "one two")]
    assert seen("failed") == [("b", "column 'prompt' must not be empty"), ("c", "openai/m: No.")]


def test_the_error_handler_of_a_chain_gets_the_rows_that_are_no_prompts(fake_server):
    asking = CompletePrompts("openai/m", base_url=fake_server.base_url)
    rows = [{"id": "a", "prompt": "one"}, {"id": "b", "prompt": ""}]
    keeping = beam.Map(keep, "handled")
    with beam.Pipeline(runner="FnApiRunner") as p, ErrorHandler(keeping) as handler:
        p | beam.Create(rows) | ToPrompts() | asking.with_error_handler(handler)
    assert [letter.id for letter in seen("handled")] == ["b"]


def test_a_chain_with_committed_streams_has_all_dead_letters():
    p = beam.Pipeline(runner="PrismRunner")
    done = p | beam.Create(["a"]) | ToPrompts() | CompletePrompts("openai/m", commit_every=0.2)
    assert done.keys() == {"completions", "dead_letters", "incomplete"}
    assert {each.element_type for each in done.values()} == {Completion, DeadLetter}


def test_half_a_character_is_a_dead_letter_that_can_be_written():
    row = {"id": "a", "prompt": "\ud800"}  # Beam's coders refuse such a text between two steps
    [tagged] = _ParseFn(ToPrompts()._rows).process(row)
    letter = tagged.value
    assert letter.message.startswith("the request cannot be written as JSON (")
    assert letter.input == '{"id": "a", "prompt": "\\ud800"}'
    beam.coders.registry.get_coder(DeadLetter).encode(letter)
    [tagged] = _ParseFn(ToPrompts(id="id")._rows).process({"id": "\ud800", "prompt": "x"})
    assert tagged.value.message == "column 'id' must be UTF-8, got half a character"
    [tagged] = _ParseFn(ToPrompts()._rows).process({"\ud800": "x"})
    assert tagged.value.message == "a row must have 'prompt' or 'messages', got \\ud800"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_object_that_raises_is_a_dead_letter():
    with beam.Pipeline(runner="FnApiRunner") as p:
        rows = p | beam.Create([0]) | beam.Map(lambda _: {"prompt": "x", "odd": Hostile()})
        (rows | ToPrompts()).dead_letters | beam.Map(keep, "letters")
    [letter] = seen("letters")
    assert letter.message == "the row cannot be written as JSON (no text)"


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        (
            {"prompt": "a", "template": "b"},
            ValueError,
            "ToPrompts takes one of prompt, messages and",
        ),
        ({"prompt": 5}, TypeError, "prompt must be the name of a column, got 5"),
        ({"id": ""}, TypeError, "id must be the name of a column, got ''"),
        ({"template": "{{ a"}, ValueError, "template, line 1: unexpected end of template"),
        ({"template": "{{ a.b() }}"}, ValueError, "template, line 1: a template cannot call any"),
        ({"template": ""}, TypeError, "template must be a template, got ''"),
        (
            {"temprature": 1},
            TypeError,
            "'temprature' is not a parameter of a request; did you mean",
        ),
        ({"param_columns": ["n", "promt"]}, TypeError, "'promt' is not a parameter of a request"),
        (
            {"param_columns": "seed"},
            TypeError,
            "param_columns must be a list of columns, got 'seed'",
        ),
        ({"api_key": "sk"}, TypeError, "a prompt may not set api_key; pass it to CompletePrompts"),
    ],
)
def test_wrong_arguments_are_reported_at_construction(given, error, reason):
    with pytest.raises(error, match=f"^{re.escape(reason)}") as raised:
        ToPrompts(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("row", "given", "error", "reason"),
    [
        (
            Question("a", "b"),
            {"prompt": "q"},
            ValueError,
            "the input has no column 'q'; it has id, q",
        ),
        (
            Question("a", "b"),
            {},
            ValueError,
            "the input has no column 'prompt' or 'messages'; it has",
        ),
        (Question("a", "b"), {"template": "{{ z }}"}, ValueError, "the input has no column 'z'"),
        ("text", {"prompt": "q"}, ValueError, "the input has no column 'q'; it has prompt"),
        (
            5,
            {},
            TypeError,
            "an element must be a text, a dict, a Row, a NamedTuple or a dataclass, but",
        ),
        (("a", "b"), {}, TypeError, "an element must be a text, a dict, a Row, a NamedTuple or a"),
    ],
)
def test_an_input_that_cannot_fit_is_reported_at_construction(row, given, error, reason):
    p = beam.Pipeline(runner="FnApiRunner")
    with pytest.raises(error, match=f"^{re.escape(reason)}"):
        p | beam.Create([row]) | ToPrompts(**given)


def test_ids_cannot_be_counted_in_windows():
    rows = beam.Pipeline(runner="FnApiRunner") | beam.Create(["a"])
    with pytest.raises(
        ValueError, match=r"^unique_ids needs a bounded input in the global window;"
    ):
        rows | beam.WindowInto(FixedWindows(1)) | ToPrompts(unique_ids=True)


def test_prompts_of_texts_and_messages():
    asked = {"messages": [{"role": "user", "content": "Why?"}], "temperature": 0}
    prompt = Prompt.of_text("Why?", id="a", input="{}", temperature=0)
    assert (prompt.id, orjson.loads(prompt.request), prompt.input) == ("a", asked, "{}")
    messages = [{"role": "system", "content": "Hm."}]
    prompt = Prompt.of_messages(messages, id="b")
    assert (prompt.id, orjson.loads(prompt.request)) == ("b", {"messages": messages})
    assert Prompt.of_text("Why?").id != Prompt.of_text("Why?").id


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Prompt.of_text(5), "the prompt must be a text, got a number"),
        (lambda: Prompt.of_text(""), "the prompt must not be empty"),
        (lambda: Prompt.of_text("a", id=5), "id must be a text that is not empty, got 5"),
        (lambda: Prompt.of_text("a", base_url="x"), "a prompt may not set base_url; pass it to"),
        (
            lambda: Prompt.of_text("a", max_token=5),
            "'max_token' is not a parameter of a request; did",
        ),
        (lambda: Prompt.of_messages({}), "the messages must be a list of messages, got an obj"),
    ],
)
def test_prompts_cannot_be_made_of_other_values(make, reason):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(reason)}"):
        make()


def test_a_prompt_has_a_system_message_examples_and_images():
    shots = [{"role": "user", "content": "cat"}, {"role": "assistant", "content": "chat"}]
    row = {"id": "a", "word": "dog", "to": "French", "photo": "https://example.com/dog.png"}
    transform = ToPrompts(
        template="{{ word }}", system_template="Into {{ to }}.", shots=shots, images="photo"
    )
    image = {"type": "image_url", "image_url": {"url": row["photo"]}}
    assert orjson.loads(prompt_of(row, transform).request)["messages"] == [
        {"role": "system", "content": "Into French."},
        *shots,
        {"role": "user", "content": [{"type": "text", "text": "dog"}, image]},
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"images_root": "a"}, "images_root needs images, the column with the paths"),
        ({"shots": []}, "shots must end with a message of the assistant, got no message"),
        ({"system_template": "{{ a"}, "system_template, line 1: unexpected end of template"),
        ({"images": ""}, "images must be the name of a column, got ''"),
    ],
)
def test_wrong_parts_of_a_prompt_are_refused_when_the_transform_is_made(given, reason):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(reason)}"):
        ToPrompts(**given)
