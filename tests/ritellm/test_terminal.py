"""Hostile text cannot control a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.terminal import clean, clean_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, über, 日本語", "plain, über, 日本語"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b31m\x9d0;title\x9c", "�31m�0;title�"),
        ("one\r\ntwo\rthree", "one\ntwo␍three"),
        ("\tx", "    x"),
        ("a\x00\x08\x7f", "a␀␈␡"),
        ("user\u202eexe.txt\u2066", "userexe.txt"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("1\u00a0000\u3000x", "1 000 x"),
        ("👩\u200d🚀 \u0915\u094d\u200d\u0937", "👩\u200d🚀 \u0915\u094d\u200d\u0937"),
        ("\ud800", "�"),
        ("tag\U000e0041", "tag"),
    ],
)
def test_control_characters_become_visible_and_text_stays(text, shown):
    assert clean(text) == shown


@given(st.text(), st.text())
def test_no_control_character_is_left_wherever_a_stream_is_cut(left, right):
    shown = clean(left) + clean(right)
    assert not {unicodedata.category(char) for char in shown.replace("\n", "")} & {"Cc", "Cs"}
    assert not any("\u202a" <= char <= "\u202e" for char in shown)


@given(st.text())
def test_clean_text_stays_as_it_is(text):
    assert clean(clean(text)) == clean(text)


def test_a_line_has_no_breaks():
    assert clean_line(" a\n\nb\t\x1bc ") == "a b ␛c"
