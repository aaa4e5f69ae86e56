"""Prints docs/arguments.md: every argument of the functions and transforms that people call.

The names, types and defaults are those of the code, and the texts are those of its docstrings.
`griffe`, which also makes docs/api.md, reads them without importing Beam. `completion` takes the
keys of the `TypedDict`s in `ritellm.calls.params`. The docstring of a key may end with its default.

    python scripts/arguments_page.py > docs/arguments.md
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import griffe

ROOT = Path(__file__).parent.parent
# The groups of the parameters of `completion`, their headings, and the default of each parameter
# whose docstring names none.
GROUPS = (
    ("PolicyParams", "Timeouts, retries, fallbacks, recording", "none"),
    ("ConnectionParams", "Address, key and headers", "none"),
    ("ChatParams", "OpenAI's chat parameters", "not sent"),
    ("CommonParams", "Parameters of compatible servers", "not sent"),
    ("BodyParams", "Other fields of the body", "none"),
    ("AnswerParams", "Checked answers", "none"),
    ("FileParams", "Local files", "none"),
)
COMPLETIONS = "transforms.completions"
# Constants whose value says more than their name.
CONSTANTS = {
    "SHARDS": "transforms.committed.commits.SHARDS",
    "DRAIN_SECONDS": "transforms.committed.commits.DRAIN_SECONDS",
    "MOST_REFUSED": "transforms.failures.MOST_REFUSED",
}
WORDS = {"Any": "any", "object": "path", "type": "pydantic model"}
HEAD = """\
# Every argument

<!-- Made by `python scripts/arguments_page.py > docs/arguments.md`; a test compares. -->

The names, types and defaults are those of the code. `None` counts as not given (in `Timeouts`: no
limit), and the types leave it out. A name that is not here raises an error before anything is sent,
with the nearest name that is.

## completion, acompletion

`completion(model, messages, *, stream=False, ...)` returns a `Completion`, or a `Stream` of chunks.
`acompletion` is the same with `await`. `Client(...)` and `AsyncClient(...)` take the parameters
below as defaults of their calls.
"""
CHAT = """\
What you do not pass is not sent, and the provider's own default holds. [What is sent](requests.md)
lists what changes on the way. The table of [providers](providers.md#what-is-supported) shows what
each dialect can express.
"""
IGNORED = """\
### litellm's bookkeeping

`completion` accepts these and does nothing with them: {names}.
"""
JOB = """\
### Defaults in a job

The transforms and the programs retry longer than `completion` does:

| argument | default of `completion` | default in a job |
| --- | --- | --- |
| `num_retries` | {retries} | {job_retries} |
| `on_interrupt` | `"raise"` | `"{on_interrupt}"` |
| `timeout`: `total` | no limit | {total:g} seconds, or twice `first_chunk` if that is longer |
"""


class Argument(NamedTuple):
    """A row of a table."""

    name: str
    type: str
    default: str
    text: str


class Code:
    """The packages as `griffe` reads them."""

    def __init__(self) -> None:
        self._packages = {
            name: griffe.load(name, search_paths=[str(ROOT)], docstring_parser="google")
            for name in ("ritellm", "transforms")
        }

    def at(self, name: str) -> Any:
        """Return the module, class, function or value with this full name."""
        package, _, rest = name.partition(".")
        return self._packages[package][rest]

    def value(self, name: str) -> Any:
        """Return the value of a constant."""
        return ast.literal_eval(str(self.at(name).value))


def page() -> str:
    """Return docs/arguments.md."""
    code = Code()
    parts = [HEAD, *_table(_arguments(code, "ritellm.api.completion", without={"params"}))]
    for group, heading, default in GROUPS:
        parts += ["", f"### {heading}", "", *([CHAT] if group == "ChatParams" else [])]
        parts += _table(_keys(code, f"ritellm.calls.params.{group}", default))
    ignored = _own_attributes(code.at("ritellm.calls.params.IgnoredParams"))
    parts += ["", IGNORED.format(names=", ".join(f"`{each.name}`" for each in ignored))]
    batch = "ritellm.api.batch_completion"
    parts += _section(code, batch, _arguments(code, batch))
    rows = "transforms.rows.complete_all.complete_all"
    parts += _section(code, rows, _arguments(code, rows))
    for name in ("ritellm.types.Timeouts", "ritellm.retry.RetryPolicy"):
        parts += _section(code, name, _fields(code, name))
    answer = "ritellm.answers.answer.Answer"
    parts += _section(code, answer, _fields(code, answer))
    streams, base = f"{COMPLETIONS}.StreamCompletions", f"{COMPLETIONS}.model_transform"
    arguments = _arguments(code, f"{base}.ModelTransform.__init__", streams)
    parts += [*_section(code, streams, arguments), _job_defaults(code)]
    for name in (f"{COMPLETIONS}.CompletePrompts", "transforms.prompts.to_prompts.ToPrompts"):
        parts += _section(code, name, _arguments(code, f"{name}.__init__", name))
    return "\n".join(parts).rstrip()


def _section(code: Code, name: str, arguments: Iterable[Argument]) -> list[str]:
    """Return a section: what `name` does, and its arguments."""
    described = code.at(name)
    texts = [part.value for part in described.docstring.parsed if part.kind.value == "text"]
    paragraphs = "\n\n".join(texts).split("\n\n")
    intro = (f"{_prose(each)}\n" for each in paragraphs)
    return [f"## {described.name}", "", *intro, *_table(arguments), ""]


def _arguments(
    code: Code, name: str, described: str | None = None, without: Iterable[str] = ()
) -> Iterator[Argument]:
    """Yield the arguments of a function, as the docstring of `described` describes them."""
    texts = _texts(code.at(described or name))
    for each in code.at(name).parameters:
        if each.name in ("self", *without):
            continue
        if each.kind.value == "variadic keyword":
            yield Argument(f"**{each.name}", "", "", texts[each.name])
        else:
            default = "required" if each.default is None else _default(code, str(each.default))
            yield Argument(each.name, _type(each.annotation), default, texts[each.name])


def _keys(code: Code, name: str, default: str) -> Iterator[Argument]:
    """Yield the keys of a TypedDict that it does not inherit."""
    for key in _own_attributes(code.at(name)):
        text, _, stated = _prose(key.docstring.value).partition(" Default: ")
        stated = stated.removesuffix(".").replace("`Timeouts()`", _timeouts(code))
        yield Argument(key.name, _type(key.annotation), stated or default, text)


def _timeouts(code: Code) -> str:
    """Return the default timeouts, as a cell."""
    fields = [each for each in _fields(code, "ritellm.types.Timeouts") if each.default != "none"]
    limits = ", ".join(f"{each.name} {each.default} s" for each in fields)
    return f"[`Timeouts()`](#timeouts): {limits}"


def _fields(code: Code, name: str) -> Iterator[Argument]:
    """Yield the fields of a dataclass that its constructor takes."""
    texts = _texts(code.at(name))
    for field in _own_attributes(code.at(name)):
        value = "" if field.value is None else str(field.value)
        if "property" in field.labels or "init=False" in value:
            continue
        default = "required" if not value or value.startswith("field(") else _default(code, value)
        text = texts.get(field.name) or _prose(field.docstring.value)
        yield Argument(field.name, _type(field.annotation), default, text)


def _own_attributes(described: Any) -> Iterator[Any]:
    return (each for each in described.members.values() if each.kind.value == "attribute")


def _texts(described: Any) -> Mapping[str, str]:
    """Return what a docstring says of each argument."""
    for part in described.docstring.parsed:
        if part.kind.value == "parameters":
            return {each.name: _prose(each.description) for each in part.value}
    return {}


def _default(code: Code, value: str) -> str:
    """Return a default as a cell."""
    if value == "None":
        return "none"
    value = str(code.value(CONSTANTS[value])) if value in CONSTANTS else value
    return f"`{value.removesuffix('.0')}`"


def _type(annotation: Any) -> str:
    """Return a type as a cell, without None; a vertical bar would end the cell."""
    kinds = re.split(r" \| (?![^\[]*\])", str(annotation))
    names = [WORDS.get(kind, kind) for kind in kinds if kind != "None"]
    return " or ".join(f"`{_plain(name)}`" for name in names)


def _plain(kind: str) -> str:
    return re.sub(r"\bObject\b", "dict", kind).replace(" | ", " or ")


def _prose(text: str) -> str:
    """Return a docstring as one line that begins with a capital letter."""
    line = " ".join(text.split())
    return line[:1].upper() + line[1:]


def _table(rows: Iterable[Argument]) -> Iterator[str]:
    yield "| argument | type | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        text = row.text.replace("|", "\\|")
        yield f"| `{row.name}` | {row.type} | {row.default} | {text} |"


def _job_defaults(code: Code) -> str:
    """Return the defaults of a job that differ from those of `completion`."""
    job = code.value("transforms.worker.prompt_run._DEFAULTS")
    return JOB.format(
        retries=code.value("ritellm.retry.RetryPolicy.num_retries"),
        job_retries=job["num_retries"],
        on_interrupt=job["on_interrupt"],
        total=code.value("transforms.worker.client.timeouts.TOTAL_SECONDS"),
    )


if __name__ == "__main__":
    print(page())
