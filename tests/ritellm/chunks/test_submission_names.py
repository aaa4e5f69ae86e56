"""The name of a submission: sorts by time, tells prompts apart, and may be any text."""

from __future__ import annotations

import pytest

from ritellm.chunks.submission import nonce_of, order_of, prompt_of, submission_of

NAME = "9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"


def test_a_name_has_digest_order_and_nonce():
    assert submission_of("9f86d081884c7d65", 0x0197A3C5E2B0, "5f3c9a01b7e4") == NAME
    parts = prompt_of(NAME), order_of(NAME), nonce_of(NAME)
    assert parts == ("9f86d081884c7d65", 1_750_799_344_304, "5f3c9a01b7e4")


def test_names_sort_by_their_order_as_text():
    orders = [0, 1, 9, 10, 4096, 1_750_799_344_304, (1 << 48) - 1]
    names = [submission_of("a" * 16, order, "0" * 12) for order in orders]
    assert names == sorted(names)


@pytest.mark.parametrize(("order", "kept"), [(-5, 0), (1 << 60, (1 << 48) - 1)])
def test_an_order_out_of_range_keeps_the_length_of_the_name(order, kept):
    name = submission_of("a" * 16, order, "0" * 12)
    assert (len(name), order_of(name)) == (len(NAME), kept)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", NAME + "0", NAME.upper(), "." * 99, "é.é.é"])
def test_any_text_may_be_a_submission(text):
    assert (order_of(text), nonce_of(text)) == (0, "")
    assert text.startswith(prompt_of(text))
