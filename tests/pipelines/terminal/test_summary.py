"""The summary at the end of a batch job."""

from __future__ import annotations

import json

from pipelines.outputs.report import Totals
from pipelines.pages.options import PageOptions
from pipelines.terminal.summary import summary
from transforms.elements import DeadLetter


def test_text_of_prompts_and_models_cannot_control_the_terminal(tmp_path):
    row = {"id": "a", "text": "\x1b]0;title\x07x", "input": {"prompt": "\x1b[2Jy\u202e"}}
    (tmp_path / "completions-0.jsonl").write_text(json.dumps(row))
    shown = summary(
        str(tmp_path),
        {"model": "m", "files": ["completions-0.jsonl"], **Totals().as_dict()},
        width=80,
    )
    assert "␛]0;title␇x" in shown
    assert "␛[2Jy" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def letter(name, message):
    return DeadLetter("a", "", name, message, 400, False, 1, "")


def test_each_class_of_errors_has_an_example_whatever_the_order_is(tmp_path):
    letters = [letter("BadRequestError", f"no {word}") for word in ("b", "a\n a", "c")]
    letters += [letter("Timeout", "late " * 100)]
    parts = []
    for order in (letters, letters[::-1]):
        whole = Totals(PageOptions(10, "sample"))
        for row in order:
            part = Totals(PageOptions(10, "sample"))
            part.add(row)
            whole.merge(part)
        parts.append(whole.as_dict()["error_examples"])
    assert parts[0] == parts[1]
    assert parts[0]["BadRequestError"] == "no a\n a"
    assert len(parts[0]["Timeout"]) == 300
    shown = summary(str(tmp_path), {"model": "m", "files": [], **whole.as_dict()}, width=60)
    assert "    3 x BadRequestError, such as: no a a" in shown
    assert max(map(len, shown.splitlines()[:3])) <= 60


def test_a_report_without_texts_has_no_examples():
    totals = Totals(PageOptions(10, "none"))
    totals.add(letter("BadRequestError", "the prompt 'secret' is odd"))
    assert totals.as_dict()["error_examples"] == {}
