"""Measures what a template costs for a row: `python -m benchmarks.jobs.templates`.

The goal is at most 15 us for a row of usual size. It also shows what the row costs in all, from its
JSON to the prompt, with a template and with a column `prompt`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import orjson

from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.inputs.rows import Line, read
from transforms.prompts.form import Form
from transforms.prompts.template import Template

_TIMES, _ROUNDS = 5_000, 9
_TEMPLATES = {
    "two columns": "Translate into {{ language }}: {{ text }}",
    "two filters": "In {{ language | upper }}: {{ text | truncate(100) }}",
    "a loop over 5 tags": "{{ text }}\n{% for tag in tags %}- {{ tag }}\n{% endfor %}",
    "the row as JSON": "{{ row | tojson }}",
}
_ROW = {
    "id": "row-1",
    "text": "A stoneware mug. " * 12,
    "language": "French",
    "tags": ["red", "blue", "large", "small", "new"],
    **{f"column_{number}": f"value {number}" for number in range(6)},
}


def measure() -> Mapping[str, float]:
    """Return the microseconds of CPU time for a row, by what is done with it."""
    found = {}
    for name, text in _TEMPLATES.items():
        template = Template(text)
        found[f"template, {name}"] = _usec(lambda template=template: template.render(_ROW))
    forms = {"a template": RowForm(Form(template=Template(_TEMPLATES["two columns"])))}
    lines = {"a template": _ROW, "a column prompt": {**_ROW, "prompt": _ROW["text"]}}
    for name, row in lines.items():
        line = Line("in.jsonl", "in.jsonl", 1, orjson.dumps(row).decode())
        form = forms.get(name, PLAIN)
        found[f"row to prompt, {name}"] = _usec(lambda line=line, form=form: read(line, True, form))
    return found


def _usec(work: Callable[[], object]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(_TIMES):
            work()
        rounds.append((time.process_time() - started) / _TIMES * 1e6)
    return statistics.median(rounds)


def main() -> None:
    """Print the figures."""
    for name, usec in measure().items():
        print(f"{name}: {usec:.1f} us")


if __name__ == "__main__":
    main()
