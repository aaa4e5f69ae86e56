"""The notebook in examples/ runs, and everything in it works inside a running event loop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import chat_stream

from ritellm import acompletion, completion
from transforms import CompletePrompts, Prompt, StreamCompletions

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
PAGE = ROOT / "docs" / "notebook.md"
MISSING = "not installed: make test-notebook"

MESSAGES = [{"role": "user", "content": "one two"}]
REQUEST = json.dumps({"messages": MESSAGES})


def all_cells():
    """Return the sources of all cells."""
    return ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]]


def in_a_running_loop(run):
    """Call `run` inside a running event loop, as a cell of a notebook does."""

    async def cell():
        return run()

    return asyncio.run(cell())


def test_the_notebook_has_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None


def test_the_page_has_the_cells_and_what_they_showed():
    page = PAGE.read_text()
    for source in all_cells()[1:]:
        assert source in page, "run: .venv-notebook/bin/python scripts/notebook_page.py"
    shown = re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 6
    assert not any("Error" in text or "\r" in text or "\x1b" in text for text in shown)


def answer(request):
    """Answer as the embedded model does."""
    question = request.json["messages"][-1]["content"]
    capitals = {"Norway": "Oslo", "Japan": "Tokyo", "Peru": "Lima", "Egypt": "Cairo"}
    known = [capital for country, capital in capitals.items() if country in question]
    return chat_stream(known[0] if known else "Because of the air.")


@pytest.fixture
def shown(fake_server, tmp_path):
    """What each code cell printed and returned in a kernel, as texts."""
    nbclient = pytest.importorskip("nbclient", reason=MISSING)
    nbformat = pytest.importorskip("nbformat", reason=MISSING)
    pytest.importorskip("ipykernel", reason=MISSING)
    pytest.importorskip("pandas", reason=MISSING)
    fake_server.script = answer
    scripts = Path(sys.executable).parent
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),  # no startup files
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "RITELLM_MODEL": "openai/m",
        "OPENAI_BASE_URL": fake_server.base_url,
        "OPENAI_API_KEY": "sk-none",
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute(env=environ)
    return [
        "".join(each.get("text") or each.data.get("text/plain", "") for each in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_notebook_runs_in_a_kernel(shown, fake_server):
    _, streamed, first, again, program, files, table, counted = shown
    assert streamed == "Because of the air."
    # One line of progress is redrawn: a notebook returns to its beginning, and knows no more.
    assert "\r████████████████████ 3 of 3 rows" in first
    assert "\x1b" not in first
    for text in (first, files, table):
        assert all(capital in text for capital in ("Oslo", "Tokyo", "Lima"))
    assert re.findall(r"^(\w\w) +(\w+) +(True|False)", again, re.MULTILINE) == [
        ("eg", "Cairo", "False"),
        ("jp", "Tokyo", "True"),
        ("no", "Oslo", "True"),
        ("pe", "Lima", "True"),
    ]
    assert "3 rows: 3 completed, 0 failed" in program
    assert "3 completions, 0 failed" in counted
    # Streamed, the rows, the row that is new, the program, and Beam's pipeline.
    assert len(fake_server.requests) == 1 + 3 + 1 + 3 + 3


def test_acompletion_runs_on_the_loop_of_the_notebook(openai_at_hand):
    async def cell():
        whole = await acompletion("openai/m", MESSAGES)
        parts = [chunk async for chunk in await acompletion("openai/m", MESSAGES, stream=True)]
        return whole.choices[0].message.content, len(parts) > 1

    assert asyncio.run(cell()) == ("one two", True)


def test_completion_works_in_a_cell_too(openai_at_hand):
    whole = in_a_running_loop(lambda: completion("openai/m", MESSAGES))
    assert whole.choices[0].message.content == "one two"


@pytest.mark.parametrize("streamed", [False, True], ids=["complete", "stream"])
def test_a_pipeline_runs_in_a_cell(fake_server, streamed):
    transform = StreamCompletions if streamed else CompletePrompts

    def cell():
        with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
            rows = p | beam.Create([Prompt("a", REQUEST)]).with_output_types(Prompt)
            done = rows | transform("openai/m", base_url=fake_server.base_url)
            if streamed:
                texts = done.deltas | beam.Filter(lambda d: d.text) | beam.Map(lambda d: d.text)
                assert_that(texts, equal_to(["one ", "two"]))
            else:
                assert_that(done.completions | beam.Map(lambda c: c.text), equal_to(["one two"]))

    in_a_running_loop(cell)
    assert len(fake_server.requests) == 1


def test_collect_of_the_interactive_runner_returns_a_table(fake_server):
    ib = pytest.importorskip(
        "apache_beam.runners.interactive.interactive_beam", reason=MISSING, exc_type=ImportError
    )
    from apache_beam.runners.interactive.interactive_runner import InteractiveRunner

    def cell():
        p = beam.Pipeline(InteractiveRunner())
        rows = p | beam.Create([Prompt("a", REQUEST), Prompt("b", "{}")]).with_output_types(Prompt)
        done = rows | CompletePrompts("openai/m", base_url=fake_server.base_url)
        both = ib.collect(done.completions, done.dead_letters)
        ib.collect(done.completions)  # from Beam's cache
        return both

    completions, letters = in_a_running_loop(cell)
    assert list(completions["text"]) == ["one two"]
    assert list(completions["total_tokens"]) == [4]
    assert list(letters["error_type"]) == ["InvalidRequestError"]
    assert len(fake_server.requests) == 1
