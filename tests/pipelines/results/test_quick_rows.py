"""The short way of `results` has the same keys and the same lines as the job's own rules."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outcomes import completion

from pipelines.inputs.row_form import RowForm
from pipelines.inputs.rows import Line
from pipelines.outputs.kept_columns import with_columns
from pipelines.results.input_rows import InputRow, InputRows
from pipelines.results.quick_lines import QuickLines
from transforms import CompletePrompts
from transforms.elements import Prompt
from transforms.prompts.form import Form
from transforms.prompts.template import Template
from transforms.serialization import to_bytes
from transforms.worker.recorded.entries import from_value, to_value

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def small(value):
    """Return a value without the integers that the JSON library cannot write."""
    if isinstance(value, dict):
        return {name: small(each) for name, each in value.items()}
    if isinstance(value, list):
        return [small(each) for each in value]
    return value % (1 << 64) if isinstance(value, int) and abs(value) >= 1 << 63 else value


MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | TEXT},
    optional={
        "tool_calls": st.just([]) | st.just([{"id": "t", "function": {}}]) | st.just([1]),
        "thinking_blocks": st.none() | st.just([{"thinking": "x"}]),
        "reasoning_content": TEXT,
    },
)
BODIES = (
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({"index": st.just(0), "message": MESSAGES}))},
        optional={"usage": JSON, "id": TEXT, "model": JSON, "created": st.integers(0, 1 << 64)},
    )
    | JSON
)
CHANGES = st.dictionaries(
    st.sampled_from(["text", "finish_reason", "attempts", "ttft", "cost_usd", "submission", "new",
                     "wasted_tokens", "shared", "total_tokens", "model", "completion", "place"]),
    JSON, max_size=3,
)  # fmt: skip
DROPPED = st.sets(st.sampled_from(["text", "place", "wasted_tokens", "submission"]), max_size=1)
INPUTS = st.dictionaries(TEXT | st.just("prompt"), JSON, max_size=4)


def by_the_rules(value, prompt, columns):
    found = from_value(value, prompt)
    if found is None:
        return None
    return to_bytes(found if columns is None else with_columns(found, columns))


@settings(max_examples=400, deadline=None)
@given(BODIES, CHANGES, DROPPED, INPUTS, st.none() | st.just(["prompt", "x"]))
@example({"choices": []}, {}, set(), {"prompt": "p"}, None)
@example({"choices": [{"message": None}]}, {}, set(), {}, None)
@example({"answer": {"text": "{}"}, "choices": []}, {}, set(), {}, None)
def test_a_line_is_that_of_the_rules_to_the_byte(body, changes, dropped, input, columns):
    row = orjson.loads(to_value(completion("other", submission="s")))
    row["completion"] = orjson.dumps(small(body)).decode()
    row |= small(changes)
    value = orjson.dumps({name: each for name, each in row.items() if name not in dropped})
    input = small(input)
    prompt = Prompt("a", "{}", orjson.dumps(input).decode(), "place")
    line = QuickLines(columns).line(value, "a", input)
    assert line is None or line == by_the_rules(value, prompt, columns)


@pytest.mark.parametrize("more", [{}, {"submission": "s"}, {"cost_usd": None}, {"text": "\u2028"}])
def test_an_ordinary_entry_takes_the_short_way(more):
    value = to_value(completion("a", **more))
    line = QuickLines(None).line(value, "a", {"prompt": "p", "n": 1.5})
    prompt = Prompt("a", "{}", '{"prompt":"p","n":1.5}', "place")
    assert line == by_the_rules(value, prompt, None)
    assert orjson.loads(line)["input"] == {"prompt": "p", "n": 1.5}


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"5", b"null", b'{"text": 1}', b"\xff"])
def test_a_damaged_entry_takes_the_long_way(value):
    assert QuickLines(None).line(value, "a", {}) is None


def test_a_column_of_another_type_takes_the_long_way_each_time():
    lines = QuickLines(None)
    odd = orjson.dumps({**orjson.loads(to_value(completion())), "attempts": "1"})
    large = orjson.dumps({**orjson.loads(to_value(completion())), "attempts": (1 << 64) - 1})
    assert [lines.line(each, "a", {}) for each in (odd, large, odd)] == [None] * 3
    assert lines.line(to_value(completion()), "a", {}) is not None
    assert lines.line(large, "a", {}) is None


ROWS = [
    {"id": "1", "prompt": "a"},
    {"id": "2", "prompt": "b", "n": [1, {"x": 2}]},
    {"id": "1", "prompt": "repeated id"},
    {"id": 1, "prompt": "the same id as a number"},
    {"prompt": "no id"},
    {"prompt": "no id"},
    {"id": "in.jsonl:5", "prompt": "the id of a place"},
    {"id": "", "prompt": "an empty id"},
    {"id": "3", "prompt": ""},
    {"id": "4", "prompt": "  "},
    {"id": "5", "prompt": 7},
    {"id": "6", "text": "no prompt"},
    {"id": "7", "prompt": "p", "messages": [{"role": "user", "content": "m"}]},
    {"id": "8", "messages": [{"role": "user", "content": "m"}]},
    {"id": "9", "prompt": "p", "temperature": 0.5},
    {"id": "10", "prompt": "p", "temperature": None},
    {"id": "11", "prompt": "p", "api_key": "k"},
    {"id": "12", "custom_id": "12b", "prompt": "p"},
    {"id": "13", "body": {"messages": [{"role": "user", "content": "m"}]}, "prompt": "p"},
    {"id": "14", "error_type": "X", "message": "m", "input": {"id": "15", "prompt": "p"}},
    {"id": "16", "prompt": "p", "n": "x" * 30 + "1" * 30},
    {"id": "17", "prompt": "\u2028 \U0001f600 \u0000"},
    {"id": "18", "prompt": "p", "topic": "t"},
    {"id": "18", "prompt": "a repeated id", "topic": "t"},
    {"id": "23", "prompt": "p", "topic": "u"},
    [1],
    "text",
]
TEXTS = [
    *(orjson.dumps(row).decode() for row in ROWS),
    '{"id": "19", "prompt": "p", "large": 123456789012345678901234567890}',
    '{"id": "20", "prompt": "p", "prompt": "the second one counts"}',
    '{"id": "21", "prompt": NaN}',
    "not json",
    '{"id": "22", "prompt": "p", "deep": ' + "[" * 300 + "]" * 300 + "}",
]
FORMS = {
    "plain": RowForm(),
    "a column of prompts": RowForm(Form(prompt="topic")),
    "a template": RowForm(Form(template=Template("{{ prompt }} of {{ topic | default('x') }}"))),
    "an id column": RowForm(id_column="topic"),
    "parameters": RowForm(Form(prompt="prompt"), param_columns=("temperature",)),
    "some columns": RowForm(columns=("topic",)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("shown", [(), ("1", "18", "in.jsonl:5", "t")])
@pytest.mark.parametrize("come_out", [False, True])
def test_odd_rows_have_the_same_keys_and_prompts_either_way(form, shown, come_out):
    made = CompletePrompts("openai/m", temperature=0.5, stop="x", max_tokens=5)
    lines = [Line("/d/in.jsonl", "in.jsonl", n, text) for n, text in enumerate(TEXTS, 1)]

    def found(hashes):
        out = {*shown}
        rows = InputRows(form, made.journal_key, hashes, lambda id: id in out)
        for name, row in rows.keyed(lines):
            prompt = rows.prompt(row) if isinstance(row, InputRow) else row
            if come_out:
                out.add(row.id)
            if isinstance(row, InputRow):
                row.is_out = come_out
            yield name, prompt._replace(place=None)

    by_rules = list(found(None))
    assert list(found(made.text_hashes())) == by_rules
    assert len(by_rules) >= 1


@settings(deadline=None)
@given(st.text(CHARACTERS))
def test_the_hash_of_a_text_is_that_of_its_request(text):
    made = CompletePrompts(
        "openai/m", temperature=0.5, stop=["x", text[:3]], base_url="http://h/v1/"
    )
    prompt = Prompt("a", orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode())
    assert made.text_hashes().of(text) == made.journal_key(prompt).request
