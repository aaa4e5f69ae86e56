"""JSON with integers of any size."""

from __future__ import annotations

import pytest

from transforms import exact_json


@pytest.mark.parametrize(
    "text",
    [
        "[18446744073709551616]",
        '{"a":-9223372036854775809,"b":1}',
        '{"\u00e4":[1234567890123456789012345678901234567890]}',
    ],
)
def test_integers_beyond_64_bits_keep_their_digits(text):
    assert exact_json.has_large_integer(text)
    assert exact_json.dumps(exact_json.loads(text)) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("123456789012345678", False),
        ("1234567890123456789", True),
        ("123456789 123456789 123456789", False),
        ("0.1234567890123456789", True),
        ("\u0661" * 19, False),
        ("\ud800 1234567890123456789", True),
        ("", False),
    ],
    ids=["18 digits", "19 digits", "groups", "fraction", "Arabic digits", "surrogate", "empty"],
)
def test_nineteen_digits_in_a_row_may_be_a_large_integer(text, found):
    assert exact_json.has_large_integer(text) is found
