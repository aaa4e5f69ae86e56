"""`Answer`: what it accepts, and what is wrong with an answer."""

import pickle
import sys

import pytest

from ritellm.answers.faults import Fault

pytest.importorskip("jsonschema_rs")

from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm import Answer

COLUMNS = "label:enum(good,bad), score:float, why:str?"
GOOD = {"label": "good", "score": 1, "why": None}


def test_a_valid_answer_has_no_faults():
    assert Answer(COLUMNS).faults(GOOD) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": "ugly"}, ("$.label", "enum")),
        ({"score": "1"}, ("$.score", "type")),
        ({"score": True}, ("$.score", "type")),
        ({"more": 1}, ("$", "additionalProperties")),
    ],
)
def test_a_fault_has_its_place_and_the_rule(change, fault):
    found = Answer(COLUMNS).faults({**GOOD, **change})
    assert [(each.path, each.rule) for each in found] == [fault]


def test_a_missing_property_is_a_fault():
    assert Answer(COLUMNS).faults({"label": "good", "why": ""})[0].rule == "required"


def test_formats_are_checked():
    assert Answer("day:date").faults({"day": "2024-02-29"}) == []
    assert Answer("day:date").faults({"day": "2023-02-29"})[0].rule == "format"


def even(answer):
    if answer["n"] % 2:
        raise ValueError("n must be even")


def small(answer):
    return "n must be below 10" if answer["n"] >= 10 else None


@pytest.mark.parametrize("validator", [even, f"{__name__}:even"])
def test_a_validator_refuses_by_a_value_error(validator):
    answer = Answer("n:int", validator=validator)
    assert answer.faults({"n": 2}) == []
    assert answer.faults({"n": 3}) == [Fault("$", "validator", "n must be even")]


def test_a_validator_refuses_by_a_text():
    assert Answer("n:int", validator=small).faults({"n": 10}) == [
        Fault("$", "validator", "n must be below 10")
    ]


def test_a_validator_sees_only_answers_that_satisfy_the_schema():
    assert Answer("n:int", validator=even).faults({"n": "x"})[0].rule == "type"


@pytest.mark.parametrize("name", ["nowhere:f", f"{__name__}:nothing", "noname", ":f", "m:"])
def test_a_validator_that_is_not_there_is_an_error(name):
    with pytest.raises(ValueError, match="module"):
        Answer("n:int", validator=name)


@pytest.mark.parametrize(
    "wrong",
    [{"reasks": -1}, {"reasks": 21}, {"reasks": 1.5}, {"grow_max_tokens": 0}, {"mode": "x"}],
)
def test_wrong_settings_are_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Answer("n:int", **wrong)


def test_without_the_library_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(ValueError, match=r"pip install 'ritellm-beam\[answers\]'"):
        Answer("never_checked_before:int")


def test_an_answer_can_be_pickled():
    answer = Answer(COLUMNS, reasks=1, validator=f"{__name__}:even")
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_pydantic_model_checks_too_and_makes_the_value():
    pydantic = pytest.importorskip("pydantic")

    class Row(pydantic.BaseModel):
        name: str
        size: int = pydantic.Field(ge=0)

        @pydantic.field_validator("name")
        @classmethod
        def is_known(cls, value):
            if value != "a":
                raise ValueError("unknown")
            return value

    answer = Answer(Row)
    assert answer.faults({"name": "a", "size": -1})[0].rule == "minimum"
    assert answer.faults({"name": "b", "size": 1}) == [
        Fault("$.name", "value_error", "Value error, unknown")
    ]
    assert answer.parsed({"name": "a", "size": 1}) == Row(name="a", size=1)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, "", "a", "bb", "good"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = st.recursive(
    st.sampled_from(
        [{}, {"type": "string"}, {"type": "integer"}, {"type": ["number", "null"]},
         {"enum": ["a", 1]}, {"const": None}, {"minLength": 2}, {"pattern": "^a"},
         {"maximum": 1, "type": "number"}, {"uniqueItems": True}]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"anyOf": each}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"oneOf": each}),
        inner.map(lambda each: {"not": each}),
        inner.map(lambda each: {"type": "array", "items": each, "maxItems": 2}),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(
            lambda each: {"type": "object", "properties": each, "additionalProperties": False}
        ),
    ),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), PARTS, max_size=3), VALUES)
def test_faults_are_found_exactly_where_another_validator_finds_them(properties, value):
    jsonschema = pytest.importorskip("jsonschema")
    schema = {"type": "object", "properties": properties}
    other = jsonschema.Draft202012Validator(schema)
    assert bool(Answer(schema).faults(value)) == (not other.is_valid(value))
