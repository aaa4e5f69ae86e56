"""What the scanner accepts: what a parser of the whole text accepts, however the text is cut."""

from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm.structured.errors import JsonError, JsonTruncated
from ritellm.structured.scanner import MAX_DEPTH, Scanner


def scan(*pieces, **limits):
    scanner = Scanner(**limits)
    for piece in pieces:
        end = scanner.feed(piece)
        if piece[end:].strip(" \t\n\r"):
            raise JsonError("more text", end)
    scanner.close()


def accepts(*pieces):
    try:
        scan(*pieces)
    except JsonError:
        return False
    return True


ACCEPTED = [
    *("0", "-0", "-0.0", "1", "10", "-12.5e-3", "1E+2", "0e1", "1e-999", "123456789012345678901"),
    *("1.7976931348623157e308", "0." + "0" * 400 + "1", "1" * 300),
    *("true", "false", "null", " \t\r\nnull\n"),
    *('""', '"a"', r'"\"\\\/\b\f\n\r\t"', r'"\u0041\u00e9\uFFFF"', r'"\ud83d\ude00"'),
    *(r'"\uD7FF\ue000\uDbff\udFff"', '"\x7f\u2028\U0001f600"', r'"\u0000"'),
    *("[]", "[ ]", "[[]]", "{}", "{ }", "[1,2]", " [ 1 , 2 ] ", "[null,true,false]"),
    *('{"a":1}', '{ "a" : 1 , "b" : { } }', '{"a":1,"a":2}', '{"":[]}', r'{"\u0061":0}'),
    "[" * MAX_DEPTH + "]" * MAX_DEPTH,
]
REFUSED = [
    *("", " ", "01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "--1", "1-", "0x1", "1_0", "-a"),
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "nul", "nulll", "True", "truE"),
    *('"', '"a', "'a'", '"\n"', '"\t"', '"\x00"', r'"\a"', r'"\u12"', r'"\u12g4"', r'"\U0041"'),
    *(r'"\ud800"', r'"\udc00"', r'"\ud800\ud800"', r'"\ud800\n"', r'"\ud83dx"', '"\ud800"'),
    *("[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "[}", "{", "}", "{]", "[1]]"),
    *('{"a"}', '{"a":}', '{"a":1', '{"a":1,}', "{a:1}", "{1:1}", '{"a" 1}', '{"a":1 "b":2}'),
    *("\ufeff{}", "\ufeff", "// a\n1", "/**/1", "1 2", "{}{}", "[] x", "1\x00", "\x0c1", "\xa01"),
    "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_it_accepts_json_at_every_cut(text):
    orjson.loads(text)
    cuts = range(len(text) + 1) if len(text) < 1000 else (1, 1023, 1024, 1025)
    assert all(accepts(text[:cut], text[cut:]) for cut in cuts)
    assert accepts(*text)


@pytest.mark.parametrize("text", REFUSED)
def test_it_refuses_everything_else_at_every_cut(text):
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text)
    cuts = range(len(text) + 1) if len(text) < 1000 else (1, 1023, 1024, 1025)
    assert not any(accepts(text[:cut], text[cut:]) for cut in cuts)
    assert not accepts(*text)


# Texts that are almost JSON: its characters and words, in any order.
WORDS = st.sampled_from(
    [*'{}[]:,"\\/ -+.eE0123', "u", "d83d", "dc00", r"\ud83d", r"\ude00", '"a"', "null", "true", "é"]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab\\"é', max_size=3), inner),
    max_leaves=12,
)


def pieces_of(text, cuts):
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=400)
@given(st.lists(WORDS, max_size=12).map("".join), st.lists(st.integers(0, 99), max_size=5))
def test_it_agrees_with_a_parser_on_texts_that_are_almost_json(text, cuts):
    try:
        orjson.loads(text)
    except ValueError:
        assert not accepts(*pieces_of(text, cuts))
    else:
        assert accepts(*pieces_of(text, cuts))


@given(st.text(max_size=30), st.lists(st.integers(0, 99), max_size=3))
def test_it_agrees_with_a_parser_on_any_text(text, cuts):
    try:
        orjson.loads(text)
    except ValueError:
        assert not accepts(*pieces_of(text, cuts))
    else:
        assert accepts(*pieces_of(text, cuts))


@pytest.mark.parametrize("text", [text for text in ACCEPTED if len(text) < 100])
def test_a_text_that_has_ended_too_early_is_truncated_and_not_wrong(text):
    text = text.strip()
    for cut in range(len(text)):
        if not accepts(text[:cut]):  # a shorter number is a number
            with pytest.raises(JsonTruncated):
                scan(text[:cut])


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ('{"a":1,}', 7, "expected a name, got '}'"),
        ("[1, x]", 4, "expected a value, got 'x'"),
        ('{"a" 1}', 5, "expected \":\", got '1'"),
        ("[1 2]", 3, 'expected "," or "]", got \'2\''),
        ('{"a":1 "b"', 7, 'expected "," or "}", got \'"\''),
        ("{]", 1, "expected a name or \"}\", got ']'"),
        ('["a\nb"]', 3, "expected no control character, got '\\n'"),
        (r'["\x"]', 3, "expected an escape, got 'x'"),
        ("[trux]", 4, "expected \"e\", got 'x'"),
        ("[01]", 2, "expected the rest of a number, got '1'"),
        ("[-]", 2, "expected a digit, got ']'"),
        ("[1e400]", 6, "expected a number below infinity"),
        ('["\ud800"]', 2, "expected no lone surrogate"),
    ],
)
def test_an_error_names_the_first_character_that_cannot_stand_there(text, position, said):
    for size in (1, 2, len(text)):
        with pytest.raises(JsonError) as caught:
            scan(*(text[start : start + size] for start in range(0, len(text), size)))
        assert (caught.value.position, caught.value.message) == (position, said)
    assert str(caught.value) == f"{said} at position {position}"


def test_a_number_has_a_limit():
    scan(*("1" * 10), longest=10)
    with pytest.raises(JsonError, match="expected at most 10 digits at position 10"):
        scan(*("1" * 11), longest=10)
