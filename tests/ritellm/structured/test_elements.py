"""The elements of a path come out as soon as they close, equal to those of the whole text."""

from __future__ import annotations

import json
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scanner import VALUES, pieces_of

from ritellm.structured.elements import ElementReader
from ritellm.structured.errors import JsonError, JsonTruncated


def read(path, *pieces, **limits):
    reader = ElementReader(path, **limits)
    found = [element for piece in pieces for element in reader.elements(piece)]
    reader.close()
    return [(e.index, e.path, e.value) for e in (*found, *reader.taken())]


DOCUMENT = r"""{"before": {"items": [0]}, "items": [{"a": "x\"]"}, 2, "s", [1, [2]], {}],
 "answer": "hi", "a": {"b": [7, 8]}, "odd name": [true], "après": null, "end": 1}"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "$.items[*]",
            [
                (0, "$.items[0]", {"a": 'x"]'}),
                (1, "$.items[1]", 2),
                (2, "$.items[2]", "s"),
                (3, "$.items[3]", [1, [2]]),
                (4, "$.items[4]", {}),
            ],
        ),
        ("$.answer", [(0, "$.answer", "hi")]),
        ("$.a.b[*]", [(0, "$.a.b[0]", 7), (1, "$.a.b[1]", 8)]),
        ("$.a.*", [(0, "$.a.b", [7, 8])]),
        ("$.a.b[1]", [(0, "$.a.b[1]", 8)]),
        ("$.items[*].a", [(0, "$.items[0].a", 'x"]')]),
        ("$['odd name'][*]", [(0, '$["odd name"][0]', True)]),
        ('$["après"]', [(0, '$["après"]', None)]),
        ("$.end", [(0, "$.end", 1)]),
        ("$.items.*", []),
        ("$[*]", []),
        ("$.answer[*]", []),
        ("$.missing", []),
    ],
)
def test_the_elements_of_a_path_are_the_same_at_every_cut(path, expected):
    assert read(path, DOCUMENT) == expected
    assert read(path, *DOCUMENT) == expected
    data = DOCUMENT.encode()
    for cut in range(len(data) + 1):
        assert read(path, data[:cut], data[cut:]) == expected


def test_the_top_is_a_path_too():
    assert read("$", " [1] ") == [(0, "$", [1])]
    assert read("$", *"12.5") == [(0, "$", 12.5)]
    assert read("$[*]", "[1, [2]]") == [(0, "$[0]", 1), (1, "$[1]", [2])]
    assert read("$.*", '{"a": 1, "b": {"a": 2}}') == [(0, "$.a", 1), (1, "$.b", {"a": 2})]


def test_an_element_comes_out_with_its_last_character():
    reader = ElementReader("$.items[*]")
    seen = {}
    text = '{"items": ["a", {"b": 1}, 23 , [4]]}'
    for at, char in enumerate(text):
        for element in reader.elements(char):
            seen[element.raw] = text[: at + 1]
    assert seen == {
        '"a"': '{"items": ["a"',
        '{"b": 1}': '{"items": ["a", {"b": 1}',
        "23": '{"items": ["a", {"b": 1}, 23 ',  # a number ends with the character after it
        "[4]": '{"items": ["a", {"b": 1}, 23 , [4]',
    }


def test_an_element_keeps_its_text_and_its_integers():
    (element,) = ElementReader("$[*]").elements('[ {"n": 123456789012345678901, "x": 1.50}]')
    assert element.raw == '{"n": 123456789012345678901, "x": 1.50}'
    assert element.value["n"] == 123456789012345678901
    assert element.value is element.value


def test_elements_before_a_fault_have_come_out():
    reader = ElementReader("$[*]")
    assert [e.value for e in reader.elements("[1, 2, ")] == [1, 2]
    with pytest.raises(JsonError, match=r"expected a value, got '\]' at position 7"):
        reader.elements("]")


def test_a_text_that_is_cut_off_has_no_last_element():
    reader = ElementReader("$[*]")
    assert [e.value for e in reader.elements("[1, 23")] == [1]
    with pytest.raises(JsonTruncated, match="the text ends inside the JSON at position 6"):
        reader.close()
    assert reader.taken() == []


def test_names_are_compared_by_value():
    assert read("$.item", *r'{"\u0069tem": 1}') == [(0, "$.item", 1)]


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("$.items[*]", '{"items": [1], "items": [2]}', "$.items"),
        ("$.items[*]", r'{"items": [1], "it\u0065ms": [2]}', "$.items"),
        ("$.*", '{"a": 1, "b": 2, "a": 3}', "$.a"),
        ("$[*].id", '[{"id": 1}, {"id": 2, "id": 3}]', "$[1].id"),
    ],
)
def test_a_name_of_the_path_that_comes_twice_is_an_error(path, text, name):
    reader = ElementReader(path)
    with pytest.raises(JsonError) as caught:
        reader.elements(text)
    assert caught.value.message == f"expected {name} once, got it twice"
    # Elsewhere the last one counts, as in orjson and json.
    assert read("$", '{"a": 1, "a": 2}') == [(0, "$", {"a": 2})]
    assert read("$.b", '{"a": 1, "a": 2, "b": 3}') == [(0, "$.b", 3)]


def test_bytes_may_be_cut_inside_a_character():
    data = '["é", "😀"]'.encode()
    assert read("$[*]", *(data[at : at + 1] for at in range(len(data)))) == [
        (0, "$[0]", "é"),
        (1, "$[1]", "😀"),
    ]


@pytest.mark.parametrize("data", [b'["\xff"]', b'["\xc0\xaf"]', b'["\xed\xa0\x80"]', b'["\xc3"]'])
def test_bytes_must_be_utf8(data):
    with pytest.raises(JsonError, match="expected UTF-8"):
        read("$[*]", *(data[at : at + 1] for at in range(len(data))))


def test_text_that_ends_inside_a_character_is_no_json():
    reader = ElementReader("$")
    reader.elements(b'"\xc3')
    with pytest.raises(JsonError, match="expected UTF-8"):
        reader.close()


def test_nothing_may_follow_the_json():
    for pieces in (["{} x"], ["{}", " ", "x"], ["[1]", "[2]"]):
        with pytest.raises(JsonError, match="expected nothing after the JSON"):
            read("$", *pieces)
    assert read("$", "{}", " \n", "\t") == [(0, "$", {})]


def test_what_is_kept_has_a_limit():
    ignored = '{"skipped": "' + "x" * 1000 + '", "items": ['
    assert read("$.items[*]", ignored, '"ab"]}', max_chars=20) == [(0, "$.items[0]", "ab")]
    with pytest.raises(JsonError, match="expected an element of at most 20 characters"):
        read("$.items[*]", '{"items": ["', *("x" * 30), max_chars=20)
    with pytest.raises(JsonError, match="expected a name of at most 20 characters"):
        read("$.items[*]", '{"', *("x" * 30), max_chars=20)


def test_skipped_text_is_not_kept():
    reader = ElementReader("$.items[*]")
    reader.elements('{"skipped": "')
    piece = "x" * 10_000
    for _ in range(100):
        reader.elements(piece)
    kept = sum(sys.getsizeof(getattr(reader, name)) for name in ("_kept", "_found", "_names"))
    assert kept < 1000


@settings(max_examples=300)
@given(
    st.lists(VALUES, max_size=5),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_elements_are_those_of_the_whole_text(items, cuts, as_ascii, indent):
    text = json.dumps({"x": [{}], "items": items}, ensure_ascii=as_ascii, indent=indent)
    expected = json.loads(text)["items"]
    found = read("$.items[*]", *pieces_of(text, cuts))
    assert repr([value for _, _, value in found]) == repr(expected)
    assert [path for _, path, _ in found] == [f"$.items[{n}]" for n in range(len(items))]


@given(VALUES, st.lists(st.integers(0, 10_000), max_size=8))
def test_the_whole_value_is_that_of_a_parser(value, cuts):
    text = orjson.dumps(value, default=str) if not _is_large(value) else json.dumps(value).encode()
    ((_, _, found),) = read("$", *pieces_of(text, cuts))
    assert repr(found) == repr(json.loads(text))


def _is_large(value):
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
