"""The paths that a reader follows."""

from __future__ import annotations

import pytest

from ritellm.structured.paths import Every, below, parse_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.items[*]", ("items", Every.ELEMENT)),
        ("$[*]", (Every.ELEMENT,)),
        ("$.*", (Every.PROPERTY,)),
        ("$.a.b[*].c_1", ("a", "b", Every.ELEMENT, "c_1")),
        ("$.a[0][12]", ("a", 0, 12)),
        ("$.été", ("été",)),
        ("$['a b']['it\\'s']", ("a b", "it's")),
        ('$["a\\"b"]["\\u00e9"]', ('a"b', "é")),
        ("$['say \"hi\"']", ('say "hi"',)),
        ("$['']", ("",)),
    ],
)
def test_a_path_is_made_of_names_indexes_and_stars(text, steps):
    assert parse_path(text).steps == steps


@pytest.mark.parametrize(
    "text",
    [
        *("", "items", ".items", "items[*]", "@.a", " $.a"),
        *("$.", "$..a", "$.a.", "$a", "$ .a", "$.a b", "$.1a", "$.a-b", "$.*a"),
        *("$[", "$[]", "$[-1]", "$[01]", "$[0:2]", "$[0,1]", "$[?@.a]", "$[**]", "$['a", "$['a'"),
        *("$['\\x']", "$[a]", "$.a[*", "$.a" * 40, "$[9999999999]"),
    ],
)
def test_a_path_with_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="path must"):
        parse_path(text)


def test_a_path_must_be_a_text():
    with pytest.raises(ValueError, match="a path must start with"):
        parse_path(None)


def test_a_place_is_written_as_a_path():
    assert below("$.items", 3) == "$.items[3]"
    assert below("$", "name") == "$.name"
    assert below("$", 'odd "name"') == r'$["odd \"name\""]'
    for part in ("name", "odd name", 'a"b', "é", "", "a\nb"):
        assert parse_path(below("$", part)).steps == (part,)
