"""The notebook in examples/ runs, and everything in it works inside a running event loop."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from ritellm import acompletion, completion
from transforms import CompletePrompts, Prompt, StreamCompletions

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
MISSING = "not installed: make test-notebook"

MESSAGES = [{"role": "user", "content": "one two"}]
REQUEST = json.dumps({"messages": MESSAGES})


def cells():
    """Return the sources of the code cells."""
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


async def run_cell(source, names):
    """Run a cell as Jupyter does: on its event loop, with `await` at the top level."""
    code = compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running


def in_a_running_loop(run):
    """Call `run` inside a running event loop, as a cell of a notebook does."""

    async def cell():
        return run()

    return asyncio.run(cell())


def test_the_notebook_has_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None


def test_the_cells_run_one_after_the_other(openai_at_hand, capsys):
    pytest.importorskip("pandas", reason=MISSING)
    pytest.importorskip("IPython", reason=MISSING)

    async def run_all():
        names = {"__name__": "__main__"}
        for source in cells():
            await run_cell(source, names)
        return names

    names = asyncio.run(run_all())
    said = [request.json["messages"][-1]["content"] for request in openai_at_hand.requests]
    assert sorted(said) == [
        "Define ebb.",
        "Define flow.",
        "Define tide.",
        "Explain tides in two sentences.",
    ]
    answers = names["answers"]
    assert sorted(answers["text"]) == ["Define ebb.", "Define flow.", "Define tide."]
    printed = capsys.readouterr().out
    assert "Explain tides in two sentences." in printed
    assert "3 completions, 0 failed" in printed


def test_the_notebook_runs_in_a_kernel(openai_at_hand, tmp_path):
    pytest.importorskip("nbclient", reason=MISSING)
    pytest.importorskip("ipykernel", reason=MISSING)
    pytest.importorskip("pandas", reason=MISSING)
    code = (
        "import nbformat, nbclient, sys;"
        "nb = nbformat.read(sys.argv[1], as_version=4);"
        "nbclient.NotebookClient(nb, timeout=300).execute();"
        "print(nb.cells[-1].outputs[-1].text)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(NOTEBOOK)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 completions, 0 failed" in done.stdout


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
