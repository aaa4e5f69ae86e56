"""Failed rows in YAML: the output that `error_handling` names, or the end of the job."""

# No `from __future__ import annotations`: Beam reads annotations as types, and not `str | None`.
# ruff: noqa: UP045
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from transforms.elements import DeadLetter, Prompt
from transforms.graph.error_output import message
from transforms.schemas import register

OUTPUT = "output"


class RowFailed(Exception):
    """A row has failed, in a job whose YAML does not say where failed rows go."""


class Failure(NamedTuple):
    """A dead letter with the fields of Beam YAML's error outputs: `element`, `msg` and `stack`.

    The `request` of `element` is empty for a row that could not be turned into a prompt.
    """

    element: Prompt
    msg: str
    stack: str
    id: str
    error_type: str
    message: str
    status_code: Optional[int]
    retryable: bool
    attempts: int
    partial_text: str
    input: Optional[str]
    usage: Optional[str]
    cost_usd: Optional[float]
    seconds: Optional[float]
    ended_at: Optional[float]
    place: Optional[str]
    wasted_tokens: int
    wasted_cost_usd: Optional[float]
    waste_estimated: bool


Failure.__module__ = "transforms.yaml"  # a part of its schema id
register(Failure)


def output_of(error_handling: Optional[Mapping[str, str]]) -> Optional[str]:
    """Return the name of the output of failed rows; raises ValueError for other settings."""
    if error_handling is None:
        return None
    form = "error_handling must be {output: NAME}"
    if not isinstance(error_handling, Mapping) or set(error_handling) != {"output"}:
        raise ValueError(f"{form}, got {error_handling!r}")
    name = error_handling["output"]
    if not isinstance(name, str) or name in ("", OUTPUT):
        raise ValueError(f"{form}, with another name than {OUTPUT!r}, got {name!r}")
    return name


def to_failure(letter: DeadLetter) -> Any:
    """Return the `Failure` of a dead letter."""
    columns = letter._asdict()
    element = Prompt(letter.id, columns.pop("request"), letter.input, letter.place)
    return Failure(element=element, msg=message(letter), stack="", **columns)


def fail(letter: DeadLetter, name: str) -> None:
    """Raise RowFailed for a dead letter of the transform `name`."""
    raise RowFailed(
        f"row {letter.id!r} failed: {message(letter)}; to go on without failed rows, add"
        f" error_handling: {{output: NAME}} to {name}"
    )
