"""The summary at the end of a batch job."""

from __future__ import annotations

import json

from pipelines.outputs.report import Totals
from pipelines.terminal.summary import summary


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
