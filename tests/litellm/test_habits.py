"""`import litellm` and `import ritellm as litellm` under the same snippets: each line of
docs/migrating.md.

ritellm is tried always, litellm where it is installed: `make test-litellm`.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
from pathlib import Path

import habits_absent
import habits_better
import habits_same
import pytest
from habits import HABITS, Habit, outcome

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"
MODULES = {"The same": habits_same, "Better": habits_better, "Not there": habits_absent}

# litellm fetches a price list while it is imported, unless told otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture(
    params=["ritellm", pytest.param("litellm", marks=pytest.mark.filterwarnings("ignore"))]
)
def package(request):
    """The one and the other."""
    if request.param == "litellm":
        pytest.importorskip("litellm.main", reason="litellm is not installed: make test-litellm")
        # litellm leaves streams open in reference cycles. httpcore's pool may wait forever when the
        # collector closes one of them (encode/httpcore#990).
        gc.collect()
        gc.disable()
    yield importlib.import_module(request.param)
    gc.enable()


@pytest.mark.parametrize(
    "habit", [pytest.param(habit, id=f"{habit.line}: {habit.name}") for habit in HABITS]
)
def test_the_snippet_gives_what_the_page_says(habit: Habit, package, openai_at_hand):
    expected = getattr(habit, package.__name__)
    assert outcome(habit, package, openai_at_hand) == expected


def documented(heading: str) -> list[str]:
    """Return the first cell of each row under `heading`."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return [cell for cell in cells if cell != "what"]


@pytest.mark.parametrize("heading", MODULES)
def test_each_line_of_the_page_has_a_snippet_and_each_snippet_a_line(heading):
    module = MODULES[heading].__name__
    lines = {habit.line for habit in HABITS if habit.snippet.__module__ == module}
    assert set(documented(heading)) == lines


def test_what_is_called_the_same_is_the_same_and_the_rest_is_not():
    for habit in HABITS:
        agreed = habit.litellm == habit.ritellm
        assert agreed == (habit.snippet.__module__ == "habits_same"), habit.name
