"""The page of a job in Chromium: readable at any size, and safe whatever a model wrote."""

from __future__ import annotations

import json
import random

import pytest
from outcomes import completion, failed

from pipelines.outputs.report import Totals
from pipelines.pages.data import page_data
from pipelines.pages.options import PageOptions
from pipelines.pages.page import page

ATTACKS = [
    "</script><script>window.attacked = 1</script>",
    "<img src=x onerror='window.attacked = 1'>",
    "<svg onload='window.attacked = 1'>",
    "<iframe srcdoc='<script>parent.attacked = 1</script>'></iframe>",
    "<style>* { display: none !important }</style>",
    "<a href='javascript:window.attacked = 1'>click</a>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<link rel=stylesheet href='http://127.0.0.1:9/x.css'>",
    "__proto__",
    "constructor",
    "\u202edetrevni\u202c",
    "nul\x00 \ud83d",
]


def written(folder, *rows):
    """Write the page of a job of `rows`; return its address."""
    totals = Totals(PageOptions(1_000, "all"))
    for row in rows:
        totals.add(row)
    facts = {"model": "openai/m", "input": ["in.jsonl"], "params": {}, "output_format": "jsonl"}
    path = folder / "report.html"
    path.write_bytes(page(page_data({**facts, **totals.as_dict()}, totals.details, text="all")))
    return path.as_uri()


def job(count):
    dice = random.Random(3)
    for n in range(count):
        end, seconds = 1.7e9 + n / 20, dice.lognormvariate(0, 0.5)
        yield completion(
            f"row-{n}",
            f"answer {n} " + "word " * dice.randrange(60),
            {"prompt": f"question {n}, which is a little longer than others"},
            ended_at=end,
            seconds=seconds,
            ttft=seconds / 5,
            inter_chunk_p50=0.02,
            inter_chunk_p95=0.06,
            completion_tokens=dice.randrange(1, 400),
        )
        if n % 50 == 7:
            yield failed(f"failed-{n}", {"prompt": "refused"}, message="no " * 90, ended_at=end)


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_in_every_text_runs_nothing_and_stands_there_as_text(window, tmp_path, text):
    input = json.dumps({"prompt": text})
    row = completion("a", finish_reason=text, model=text)._replace(id=text, text=text, input=input)
    lost = failed(text, input, message=text, error_type=text, partial_text=text)
    shown = window(written(tmp_path, row, lost))
    for summary in shown.page.locator("#rows summary").all():
        summary.click()
    shown.page.locator("input[type=search]").fill(text[:4].replace("\u202e", ""))
    assert shown.errors == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:"))] == []
    assert shown.page.evaluate("window.attacked") is None
    assert shown.page.locator("main img, main iframe, main a, main script, main style").count() == 0
    seen = text.replace("\u202e", "").replace("\u202c", "").replace("\x00", "␀")
    assert seen.replace("\ud83d", "�") in shown.text("#reasons .name")[0]
    assert len(shown.text("#failures .group")) == 1


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("count", [0, 1, 10, 3_000])
def test_the_page_fits_any_window_and_any_number_of_rows(window, tmp_path, count, width):
    rows = list(job(count))
    shown = window(written(tmp_path, *rows), width)
    assert shown.errors == []
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    sticks_out = """() => [...document.querySelectorAll("h1, h2, .tile strong, .card > *")]
        .filter((node) => node.getBoundingClientRect().right > innerWidth).length"""
    assert shown.page.evaluate(sticks_out) == 0
    charts = shown.page.locator("#time svg").count()
    assert charts == (0 if count < 100 else 4)
    assert shown.page.locator("#rows").is_visible() == (count > 0)
    assert shown.text(".tile strong")[0] == f"{len(rows):,}"


def test_the_page_is_light_or_dark_as_the_reader_prefers(window, tmp_path):
    url = written(tmp_path, *job(10))
    color = "getComputedStyle(document.documentElement).backgroundColor"
    assert window(url).page.evaluate(color) == "rgb(245, 245, 243)"
    assert window(url, scheme="dark").page.evaluate(color) == "rgb(18, 19, 21)"


def test_rows_are_found_by_their_texts_and_open_to_them(window, tmp_path):
    shown = window(written(tmp_path, *job(300)))
    assert "306 of 306 rows" in shown.text("#row-count")
    shown.page.locator("input[type=search]").fill("ANSWER 217 ")
    assert shown.text("#row-count") == ["1 of 306 rows"]
    assert shown.text("#rows summary mark") == ["answer 217 "]
    shown.page.locator("#rows summary").click()
    prompt, answer = shown.text("#rows pre")
    assert prompt.startswith("question 217")
    assert answer.startswith("answer 217")
    shown.page.locator("input[type=search]").fill("")
    shown.page.locator("select").select_option("failed")
    assert shown.text("#row-count") == ["6 of 306 rows"]


def test_a_chart_tells_the_values_under_the_pointer(window, tmp_path):
    shown = window(written(tmp_path, *job(600)))
    shown.page.locator("#time svg").first.hover()
    (tip,) = shown.text("#tip")
    assert tip.startswith("after ")
    assert "completed\n20" in tip
