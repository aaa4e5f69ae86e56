"""The page of a job is one file that loads nothing and runs nothing that a row brought along."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import orjson
import pytest
from outcomes import completion, failed

from pipelines.outputs.report import Totals
from pipelines.pages.data import page_data
from pipelines.pages.options import PageOptions
from pipelines.pages.page import MARK, page

# Hostile texts, and what a reader sees of them.
HOSTILE = {
    text: text
    for text in (
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "]]><img src=x onerror=alert(1)>",
        "&lt;script&gt; &amp; &#60;",
        "{{policy}} {{data}} {{script}}",
        "عربي 日本語 \U0001f469\u200d\U0001f680",
    )
} | {
    "\u202eevil\u202c \u2066x\u2069": "evil x",
    "nul\x00 esc\x1b[2J bell\x07": "nul␀ esc␛[2J bell␇",
    "half \ud83d pair": "half � pair",
    "line\u2028separator\u2029end": "line\nseparator\nend",
}


def hostile_page(text):
    totals = Totals(PageOptions(10, "all"))
    input = json.dumps({"prompt": text})
    row = completion(text, finish_reason=text, model=text, place=text)
    totals.add(row._replace(text=text, input=input))
    totals.add(failed(text, "{}", message=text, partial_text=text, error_type=text, place=text))
    facts = {"model": text, "input": [text], "params": {text: text}, "output_format": "jsonl"}
    report = {**facts, **totals.as_dict(), "unused_columns": {text: text}}
    return page(page_data(report, totals.details, text="all"))


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.texts, self.is_open = [], [], False

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.texts.append("")
        self.is_open = True

    def handle_endtag(self, tag):
        self.is_open = False

    def handle_data(self, data):
        if self.is_open:
            self.texts[-1] += data


def parsed(text):
    elements = Elements()
    elements.feed(text.decode())
    elements.close()
    return elements


@pytest.mark.parametrize(("text", "seen"), HOSTILE.items())
def test_hostile_texts_add_no_element_and_come_out_as_data(text, seen):
    harmless, attacked = parsed(hostile_page("harmless")), parsed(hostile_page(text))
    assert attacked.found == harmless.found
    data = orjson.loads(attacked.texts[[a.get("id") for _, a in attacked.found].index("data")])
    assert [row["answer"] for row in data["rows"]] == [seen, seen]
    assert (data["report"]["model"], list(data["failures"])) == (seen, [seen])


def test_no_text_can_reorder_or_control_a_line():
    body = "".join(hostile_page(text).decode() for text in HOSTILE)
    data = "".join(re.findall(r'id="data">(.*?)</script>', body, re.DOTALL))
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u2028\u2029<>&]|\\u00[01]|\\u20", data)


def test_the_policy_allows_the_own_script_and_style_and_no_request():
    elements = parsed(hostile_page("x"))
    (policy,) = [a["content"] for _, a in elements.found if a.get("http-equiv")]
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    inside = {
        tag: text
        for (tag, a), text in zip(elements.found, elements.texts, strict=True)
        if "id" not in a
    }
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(inside[kind].encode()).digest()).decode()
        assert allowed[f"{kind}-src"] == f"'sha256-{digest}'"
    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == "'none'"
    assert "connect-src" not in allowed


def test_the_page_names_no_other_file_and_no_handler():
    elements = parsed(hostile_page("x"))
    for tag, attributes in elements.found:
        assert not {name for name in attributes if name.startswith("on") or name == "src"}, tag
    assert [a["href"] for _, a in elements.found if "href" in a] == ["data:,"]
    script = elements.texts[-1]
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert way not in script


def test_a_page_can_be_told_from_a_file_of_the_user():
    assert MARK in hostile_page("x")[:4_096]
