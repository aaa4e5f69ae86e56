"""How many cells of a terminal a text takes."""

from __future__ import annotations

import pytest

from pipelines.terminal import cells
from pipelines.terminal.cells import cells_in, fit, head, tail

FAMILY, FLAG, THUMB, HEART = "👨\u200d👩\u200d👧", "🇩🇪", "👍🏽", "❤\ufe0f"
E_ACUTE = "e\u0301"  # a letter and a combining mark

WIDTHS = {
    "": 0,
    "abc": 3,
    "naïve": 5,
    "日本語": 6,
    "한국": 4,
    "\uff46\uff55\uff4c\uff4c": 8,
    E_ACUTE: 1,
    "ก็": 1,
    FAMILY: 2,
    FLAG: 2,
    THUMB: 2,
    HEART: 2,
    "…": 1,
    f"a{FAMILY}b": 4,
}


@pytest.mark.parametrize(("text", "size"), WIDTHS.items(), ids=[*map(ascii, WIDTHS)])
def test_a_text_takes_the_cells_that_a_terminal_draws(text, size):
    pytest.importorskip("wcwidth")
    assert cells_in(text) == size


@pytest.mark.parametrize("text", [*WIDTHS, "日" * 9, FAMILY * 5, E_ACUTE * 9, f"{FLAG}ab" * 4])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_a_text_that_is_cut_fits_and_is_not_cut_within_a_cluster(text, width):
    pytest.importorskip("wcwidth")
    fitted = fit(text, width)
    assert cells_in(fitted) == width
    for cut in (head(text, width), tail(text, width)):
        assert cells_in(cut) <= width
        kept = cut.replace("…", "") if cut != text else cut
        assert kept in text
        assert kept == "" or not kept.startswith(("\u200d", "\u0301", "\ufe0f", "🏽"))
    if cells_in(text) <= width:
        assert (head(text, width), tail(text, width)) == (text, text)
    else:
        assert head(text, width).endswith("…")
        assert tail(text, width).startswith("…")


def test_without_the_library_pythons_own_tables_are_used(monkeypatch):
    monkeypatch.setattr(cells, "_library", lambda: None)
    assert (cells_in("日本語"), cells_in(E_ACUTE), cells_in("abc")) == (6, 1, 3)
    assert (head("日本語", 5), tail("日本語", 5), fit("日本語", 5)) == ("日本…", "…本語", "日本…")
