"""docs/arguments.md describes every argument, with the type and the default of the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ritellm
from ritellm.answers.answer import Answer
from ritellm.calls.params import IGNORED, CompletionParams
from transforms import CompletePrompts, StreamCompletions, ToPrompts, complete_all
from transforms.completions.model_transform import ModelTransform
from transforms.completions.params import JobParams

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "arguments.md").read_text()


def section(heading):
    """Return the text below a heading of the second level."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading):
    """Return the rows of the tables in a section: the cells by the name of the argument."""
    found = re.findall(
        r"^\| `([*\w]+)` \| (.*) \| (.*) \| (.*) \|$", section(heading), re.MULTILINE
    )
    return {name: cells for name, *cells in found}


def defaults(function):
    """Return the defaults of the keyword arguments of a function, by name."""
    found = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {each.name: each.default for each in found if each.kind not in kinds}


def shown(default):
    """Return a default as the page shows it, None if it shows the name of a constant."""
    if default is inspect.Parameter.empty:
        return "required"
    if default is None:
        return "none"
    plain = isinstance(default, (bool, int, float, str, tuple))
    return f"`{default:g}`" if isinstance(default, float) else f"`{default!r}`" if plain else None


def check(heading, wanted):
    described = rows(heading)
    for name, default in wanted.items():
        assert name in described, f"{heading} does not describe {name}"
        kind, said, text = described[name]
        assert kind, name
        assert text, name
        assert shown(default) in (said, None), f"{name} is {default!r} by default, not {said}"


def test_the_page_is_what_the_script_makes_of_the_code():
    pytest.importorskip("griffe")
    command = [sys.executable, "scripts/arguments_page.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAGE, "run: python scripts/arguments_page.py > docs/arguments.md"


def test_completion_has_each_of_its_parameters_there():
    described = rows("completion, acompletion")
    keys = CompletionParams.__optional_keys__
    assert keys - IGNORED == set(described) - {"model", "messages", "stream"}
    for name, (kind, default, text) in described.items():
        assert all((kind, default, text)), f"{name} lacks its type, its default or what it does"
    assert all(f"`{name}`" in section("completion, acompletion") for name in IGNORED)


def test_completion_has_its_defaults_there():
    check("completion, acompletion", defaults(ritellm.completion))
    described = rows("completion, acompletion")
    assert "connect `10` s, first_chunk `300` s, inter_chunk `120` s" in described["timeout"][1]
    assert described["num_retries"][1] == f"`{ritellm.RetryPolicy().num_retries}`"
    assert described["temperature"][1] == "not sent"


@pytest.mark.parametrize("described", [ritellm.Timeouts, ritellm.RetryPolicy, Answer])
def test_each_field_of_a_dataclass_is_there(described):
    fields = [each for each in dataclasses.fields(described) if each.init]
    missing, empty = dataclasses.MISSING, inspect.Parameter.empty
    wanted = {each.name: empty if each.default is missing else each.default for each in fields}
    check(described.__name__, wanted)
    assert set(rows(described.__name__)) == set(wanted)


@pytest.mark.parametrize(
    ("heading", "function"),
    [
        ("batch_completion", ritellm.batch_completion),
        ("complete_all", complete_all),
        ("StreamCompletions", StreamCompletions),
        ("CompletePrompts", CompletePrompts),
        ("ToPrompts", ToPrompts),
    ],
)
def test_each_argument_of_a_function_or_transform_is_there(heading, function):
    wanted = defaults(function)
    assert set(rows(heading)) == {*wanted, "**params"}
    check(heading, wanted)


def test_the_types_of_the_transforms_have_the_same_names():
    own = JobParams.__optional_keys__ - CompletionParams.__optional_keys__
    assert own == set(defaults(ModelTransform)) - {"model"}


def test_the_defaults_of_a_job_are_there():
    job = section("StreamCompletions").split("### Defaults in a job")[1]
    assert "| `num_retries` | 2 | 5 |" in job
    assert '| `on_interrupt` | `"raise"` | `"restart"` |' in job
    assert "| no limit | 3600 seconds, or twice `first_chunk` if that is longer |" in job
