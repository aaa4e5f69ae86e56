"""What counts as the JSON object in a model's text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.answers.faults import Fault
from ritellm.answers.texts import Found, read

BAD = {
    "nothing": "",
    "prose": "I cannot say.",
    "an array": '[{"a": 1}]',
    "a text with JSON in it": '"{\\"a\\": 1}"',
    "a trailing comma": '{"a": 1,}',
    "a comment": '{"a": 1 // one\n}',
    "single quotes": "{'a': 1}",
    "a property twice": '{"a": 1, "a": 1}',
    "a property twice, inside": '{"b": {"a": 1, "a": 2}}',
    "NaN": '{"a": NaN}',
    "Infinity": '{"a": -Infinity}',
    "a number beyond floats": '{"a": 1e999}',
    "half a surrogate pair": '{"a": "\\ud800"}',
    "a second object": '{"a": 1}\n{"a": 2}',
    "a second, broken object": '{"a": 1} {"a":',
    "an array of objects with a trailing comma": '[{"a": 1},]',
    "an object inside a broken one": '{"b": {"a": 1},}',
    "a number cut off": '{"a": 1',
    "two fences": '```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```',
    "a fence around two objects": '```\n{"a": 1}\n{"a": 2}\n```',
    "too many levels": '{"a": ' + "[" * 200 + "]" * 200 + "}",
    "very many levels": '{"a": ' + "[" * 100_000,
    "an integer of 10,000 digits": '{"a": ' + "1" * 10_000 + "}",
    "a part of a text": '"{"a": 1}"',
}


@pytest.mark.parametrize("prose", [False, True], ids=["alone", "with prose"])
@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_text_that_is_not_one_object_is_no_answer(text, prose):
    fault = read(text, prose=prose)
    assert isinstance(fault, Fault)
    assert (fault.path, fault.rule) == ("$", "json")
    assert len(str(fault)) < 400


@pytest.mark.parametrize("text", ['{"a": 1}', ' \n{"a": 1}\n ', '{"a":1}'])
def test_an_object_alone_is_an_answer(text):
    assert read(text) == Found({"a": 1}, text.strip(), stripped=False)


@pytest.mark.parametrize(
    "text", ['```json\n{"a": 1}\n```', '```\n{"a": 1}```', '\n```JSON \r\n{"a": 1}\r\n```\n']
)
def test_a_code_fence_is_removed_and_the_answer_says_so(text):
    assert read(text) == Found({"a": 1}, '{"a": 1}', stripped=True)


@pytest.mark.parametrize(
    "text",
    [
        'Here it is: {"a": 1}',
        '{"a": 1} I hope it helps.',
        'See [1].\n```json\n{"a": 1}\n```\nDone.',
        '<answer>{"a": 1}</answer>',
        'An {"a": 1}\n[1] a note',
    ],
)
def test_prose_around_the_object_is_removed_only_where_it_is_allowed(text):
    assert read(text, prose=True) == Found({"a": 1}, '{"a": 1}', stripped=True)
    assert isinstance(read(text), Fault)


def test_large_integers_keep_their_digits():
    assert (
        read('{"a": 123456789012345678901234567890}').value["a"] == 123456789012345678901234567890
    )


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_each_object_of_json_is_read_as_json_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        found = read(text)
        assert (found.value, found.stripped) == (json.loads(text), False)
