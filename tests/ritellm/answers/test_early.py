"""A wrong answer is known before its end, and a valid one is never stopped."""

import json

import pytest

pytest.importorskip("jsonschema_rs")

from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm import Answer
from ritellm.answers.early import Watcher
from ritellm.answers.faults import Fault
from ritellm.answers.texts import read

SCHEMA = {
    "$defs": {"Tag": {"type": "string", "enum": ["a", "b"]}},
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]},
        "score": {"type": "number", "maximum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
        "who": {
            "type": ["object", "null"],
            "properties": {"age": {"type": "integer"}},
            "additionalProperties": False,
        },
        "free": {"additionalProperties": {"type": "string"}},
    },
    "required": ["label"],
    "additionalProperties": False,
}


def stopped_at(text, answer=None, **options):
    """Return where the watcher finds a fault in `text`, read by characters, and the fault."""
    watcher = Watcher((answer or Answer(SCHEMA)).json, **options)
    for at, char in enumerate(text):
        if (fault := watcher.feed(char)) is not None:
            return text[: at + 1], fault
    return None


@pytest.mark.parametrize(
    ("text", "read", "path", "rule"),
    [
        ('{"label": "ugly", "score": 1', '{"label": "ugly"', "$.label", "enum"),
        ('{"label": 12345', '{"label": 1', "$.label", "type"),
        ('{"label": {"a"', '{"label": {', "$.label", "type"),
        ('{"score": 2.5, ', '{"score": 2.5,', "$.score", "maximum"),
        ('{"more": 1', '{"more"', "$", "additionalProperties"),
        ('{"label": "good", "label"', '{"label": "good", "label"', "$", "json"),
        ('{"tags": ["a", "c", "a"', '{"tags": ["a", "c"', "$.tags[1]", "enum"),
        ('{"who": {"age": 1.5}', '{"who": {"age": 1.5}', "$.who.age", "type"),
        ('{"who": {"name": "x"', '{"who": {"name"', "$.who", "additionalProperties"),
        ('{"free": {"x": "y", "z": [', '{"free": {"x": "y", "z": [', "$.free.z", "type"),
        ('{"label": "good",}', '{"label": "good",}', "$", "json"),
        ('{"label": NaN', '{"label": N', "$", "json"),
        ("I cannot", "I", "$", "json"),
        ('[{"label"', "[", "$", "json"),
        ('{"label": "good"} and', '{"label": "good"} a', "$", "json"),
        ('{"label": "good"}\n{"label', '{"label": "good"}\n{', "$", "json"),
        ('```json\n{"label": "ugly"', '```json\n{"label": "ugly"', "$.label", "enum"),
        ('```json\n{"label": "good"}\n``` and', '```json\n{"label": "good"}\n``` a', "$", "json"),
    ],
)
def test_a_fault_is_found_at_the_first_character_that_decides_it(text, read, path, rule):
    found = stopped_at(text)
    assert found is not None
    assert (found[0], found[1].path, found[1].rule) == (read, path, rule)


def test_prose_around_the_object_is_no_fault_where_it_is_allowed():
    text = 'Here: {"label": "good"} Bye.'
    assert stopped_at(text, prose=True) is None
    assert stopped_at('Here: {"label": "ugly"', prose=True)[1].path == "$.label"
    assert stopped_at(text + " {", prose=True)[1].rule == "json"


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "good", "who": null, "tags": [], "free": {"x": "y"}}',
        ' \n{"label":"bad","score":1e0}\n ',
        '```json\n{"label": "good"}\n```\n',
        '```\n{"label": "good"}```',
    ],
)
def test_a_valid_answer_is_never_stopped(text):
    assert stopped_at(text) is None


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0, "", "a", "b"])
NAMES = st.sampled_from("abc")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])


def combined(inner):
    return st.one_of(
        st.lists(inner, min_size=1, max_size=2).flatmap(
            lambda parts: st.sampled_from(["allOf", "anyOf", "oneOf"]).map(lambda k: {k: parts})
        ),
        inner.map(lambda part: {"not": part}),
        inner.map(lambda part: {"type": "array", "items": part}),
        st.tuples(inner, inner).map(lambda two: {"prefixItems": [two[0]], "items": two[1]}),
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(NAMES, inner | st.booleans(), max_size=3),
                "additionalProperties": inner | st.booleans(),
                "patternProperties": inner.map(lambda part: {"^b": part}),
                "type": KINDS | st.lists(KINDS, min_size=1, max_size=2, unique=True),
                "enum": st.lists(VALUES, min_size=1, max_size=3),
            },
        ),
        st.tuples(inner, st.sampled_from(["#/$defs/a", "#/$defs/b"])).map(
            lambda two: {**two[0], "$ref": two[1]}
        ),
    )


PARTS = st.recursive(
    st.one_of(
        st.just({}),
        KINDS.map(lambda kind: {"type": kind}),
        st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: {"enum": values}),
        SCALARS.map(lambda value: {"const": value}),
        st.sampled_from([{"minLength": 1}, {"maximum": 1}, {"pattern": "^a"}, {"maxItems": 1}]),
    ),
    combined,
    max_leaves=6,
)
SCHEMAS = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "$defs": st.fixed_dictionaries({"a": PARTS, "b": st.just({"type": "string"})}),
    },
    optional={
        "properties": st.dictionaries(NAMES, PARTS, max_size=3),
        "additionalProperties": PARTS | st.booleans(),
        "allOf": st.lists(PARTS, min_size=1, max_size=2),
        "$schema": st.sampled_from(
            [
                "http://json-schema.org/draft-07/schema#",
                "https://json-schema.org/draft/2020-12/schema",
            ]
        ),
    },
)


@st.composite
def texts(draw):
    """Return the text of an object, sometimes with something around it, or damaged."""
    value = draw(st.dictionaries(NAMES, VALUES, max_size=3))
    text = json.dumps(value, indent=draw(st.sampled_from([None, 1])))
    text = draw(st.sampled_from(["{}", "```json\n{}\n```", "So: {} .", " {}\n"])).replace(
        "{}", text
    )
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from('{}[],:"1e.`na \n'))
            + text[at + draw(st.integers(0, 1)) :]
        )
    return text


@st.composite
def pieces(draw, text):
    """Return `text` cut anywhere."""
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@settings(max_examples=500, deadline=None)
@given(SCHEMAS, texts(), st.booleans(), st.data())
def test_an_answer_that_is_stopped_would_have_been_refused(schema, text, prose, data):
    try:
        answer = Answer(schema)
    except ValueError:  # a reference that leads back to itself
        return
    watcher = Watcher(answer.json, prose=prose)
    cut = data.draw(pieces(text))
    fault = next((fault for piece in cut if (fault := watcher.feed(piece))), None)
    found = read(text, prose=prose)
    is_valid = not isinstance(found, Fault) and not answer.faults(found.value)
    assert not (is_valid and fault), f"stopped for {fault}"
