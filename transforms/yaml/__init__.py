"""The transforms for Beam YAML; `templates/yaml/ritellm.yaml` lists them for a pipeline to include.

They take values that YAML has, and return rows with a schema. A failed row goes to the output that
`error_handling` names. Without it a failed row fails the job, as in Beam's own YAML transforms.
"""

# No `from __future__ import annotations`: Beam reads annotations as types, and not `str | None`.
# ruff: noqa: UP045
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional

import apache_beam as beam

from ritellm.calls.params import CHAT_PARAMS, COMMON_PARAMS
from ritellm.providers import split_model
from ritellm.suggest import did_you_mean
from transforms import assembly, completions
from transforms.budget.accounts import Caps
from transforms.budget.ledger import NewLedger
from transforms.elements import DeadLetter, Prompt
from transforms.graph.error_output import message
from transforms.journal import JournalError, NewJournal
from transforms.journal.spec import job_name
from transforms.prompts import to_prompts
from transforms.schemas import register

OUTPUT = "output"
_NUMBER, _COUNT, _TEXT, _YES_NO = "a number", "a whole number", "a text", "true or false"

# The options of a job by name, and what their values must be.
_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys("max_in_flight num_retries max_total_tokens".split(), _COUNT),
    **dict.fromkeys("rpm tpm give_up_after timeout max_cost_usd".split(), _NUMBER),
    **dict.fromkeys("base_url api_key_env api_key_secret api_key_file".split(), _TEXT),
    **dict.fromkeys("journal job on_interrupt".split(), _TEXT),
    **dict.fromkeys("dedupe drop_params".split(), _YES_NO),
    "hedge_after": "seconds or a text such as p95",
    "extra_body": "an object",
}
# Parameters of a request whose values can be checked here; a provider checks the others.
_PARAMS: Mapping[str, str] = {
    **dict.fromkeys("max_tokens max_completion_tokens n seed top_k".split(), _COUNT),
    **dict.fromkeys("temperature top_p min_p frequency_penalty presence_penalty".split(), _NUMBER),
    **dict.fromkeys("reasoning_effort service_tier user verbosity".split(), _TEXT),
}
_KNOWN = CHAT_PARAMS | COMMON_PARAMS | _OPTIONS.keys()
_TYPES: Mapping[str, tuple[type, ...]] = {
    _NUMBER: (int, float),
    _COUNT: (int,),
    _TEXT: (str,),
    _YES_NO: (bool,),
    _OPTIONS["hedge_after"]: (int, float, str),
    _OPTIONS["extra_body"]: (dict,),
}


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


register(Failure)


class _YamlTransform(beam.PTransform):  # type: ignore[misc]
    """The base of the transforms: where failed rows go."""

    def __init__(self, error_handling: Optional[Mapping[str, str]]) -> None:
        super().__init__()
        self._errors = _output_of(error_handling)

    def _outputs(self, good: Any, failed: Any, **more: Any) -> dict[str, Any]:
        if self._errors is None:
            failed | "FailTheJob" >> beam.Map(_fail, type(self).__name__)
            return {OUTPUT: good, **more}
        failures = failed | "ToFailures" >> beam.Map(_to_failure).with_output_types(Failure)
        return {OUTPUT: good, **more, self._errors: failures}


class _ModelTransform(_YamlTransform):
    """The base of the transforms that send prompts."""

    def __init__(
        self,
        model: str,
        error_handling: Optional[Mapping[str, str]],
        make: Callable[..., Any],
        given: Mapping[str, Any],
    ) -> None:
        super().__init__(error_handling)
        _check("model", model, _TEXT)
        split_model(model)  # raises for a provider that does not exist
        self._transform = make(model, **_arguments(model, given))


class CompletePrompts(_ModelTransform):
    """Completes prompts with a model: rows with `id` and `request`, as ToPrompts makes them.

    The output has a row for each completion. With `emit_deltas` the output `deltas` has one for
    each chunk.

    Args:
        model: the model as PROVIDER/MODEL, for example openai/gpt-4o-mini.
        emit_deltas: whether to have the output `deltas`.
        error_handling: `output` names the output of failed rows.
        options: the options of the transform in Python, such as `max_in_flight` and `api_key_env`;
            `journal`, `max_cost_usd` and `max_total_tokens`; and parameters of a request, such as
            `max_tokens` and `temperature`.
    """

    def __init__(
        self,
        model: str,
        emit_deltas: bool = False,
        error_handling: Optional[Mapping[str, str]] = None,
        **options: Any,
    ) -> None:
        _check("emit_deltas", emit_deltas, _YES_NO)
        self._emit_deltas = emit_deltas

        def make(model: str, **arguments: Any) -> Any:
            return completions.CompletePrompts(model, emit_deltas=emit_deltas, **arguments)

        super().__init__(model, error_handling, make, options)

    def expand(self, rows: Any) -> dict[str, Any]:
        """Complete each prompt."""
        done = rows | self._transform
        more = {"deltas": done.deltas} if self._emit_deltas else {}
        return self._outputs(done.completions, done.dead_letters, **more)


class StreamCompletions(_ModelTransform):
    """Streams the completions of prompts: the output has a row for each chunk, as it arrives.

    Args:
        model: the model as PROVIDER/MODEL, for example openai/gpt-4o-mini.
        error_handling: `output` names the output of failed rows.
        options: those of CompletePrompts.
    """

    def __init__(
        self, model: str, error_handling: Optional[Mapping[str, str]] = None, **options: Any
    ) -> None:
        super().__init__(model, error_handling, completions.StreamCompletions, options)

    def expand(self, rows: Any) -> dict[str, Any]:
        """Stream each prompt."""
        done = rows | self._transform
        return self._outputs(done.deltas, done.dead_letters)


class AssembleCompletions(_YamlTransform):
    """Adds up deltas to completions, by prompt.

    Args:
        wait_seconds: for streams: seconds without a delta after which a prompt is incomplete.
        error_handling: `output` names the output of incomplete prompts.
    """

    def __init__(
        self,
        wait_seconds: Optional[float] = None,
        error_handling: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(error_handling)
        if wait_seconds is not None:
            _check("wait_seconds", wait_seconds, _NUMBER)
        self._transform = assembly.AssembleCompletions(wait_seconds)

    def expand(self, deltas: Any) -> dict[str, Any]:
        """Add up the deltas of each prompt."""
        whole = deltas | self._transform
        return self._outputs(whole.completions, whole.incomplete)


class ToPrompts(_YamlTransform):
    """Turns rows into prompts: rows with `id`, `request` and `input`, the JSON of the row.

    Args:
        prompt: the column with the text of the prompt.
        messages: the column with the messages, in place of `prompt`.
        template: a Jinja2 template of the text, in place of `prompt`.
        id: the column with the id; rows without one get an id.
        param_columns: the columns that are parameters of the request.
        unique_ids: whether to find repeated ids.
        error_handling: `output` names the output of rows that cannot be prompts.
        params: parameters of each request, such as `max_tokens`.
    """

    def __init__(
        self,
        prompt: Optional[str] = None,
        messages: Optional[str] = None,
        template: Optional[str] = None,
        id: Optional[str] = None,
        param_columns: Optional[list[str]] = None,
        unique_ids: Optional[bool] = None,
        error_handling: Optional[Mapping[str, str]] = None,
        **params: Any,
    ) -> None:
        super().__init__(error_handling)
        self._transform = to_prompts.ToPrompts(
            prompt,
            messages=messages,
            template=template,
            id=id,
            param_columns=param_columns or (),
            unique_ids=unique_ids,
            **params,
        )

    def expand(self, rows: Any) -> dict[str, Any]:
        """Make a prompt of each row."""
        made = rows | self._transform
        return self._outputs(made.prompts, made.dead_letters)


def _arguments(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the transform in Python; raises TypeError or ValueError."""
    for name, value in given.items():
        if name not in _KNOWN:
            raise TypeError(f"unknown parameter {name!r}{did_you_mean(name, _KNOWN)}")
        if (wanted := _OPTIONS.get(name) or _PARAMS.get(name)) and value is not None:
            _check(name, value, wanted)
    left = {name: value for name, value in given.items() if value is not None}
    job = f"yaml://{left.pop('job', '')}"
    caps = Caps(left.pop("max_cost_usd", None), left.pop("max_total_tokens", None))
    journal = _journal(left.pop("journal", "none"), job)
    if journal is not None:
        left["journal"] = journal
    if caps != Caps():
        redis = journal.redis if journal is not None else None
        left["budget"] = ledger = NewLedger(caps, redis, job_name(job))
        ledger.check(model)
    return left


def _journal(spec: str, job: str) -> Optional[NewJournal]:
    if spec == "none":
        return None
    if spec == "auto":
        raise ValueError("journal must be sqlite:PATH, redis://HOST/DB or a folder, got 'auto'")
    try:
        return NewJournal(spec, job)
    except JournalError as error:
        raise ValueError(str(error)) from None


def _check(name: str, value: Any, wanted: str) -> None:
    """Raise TypeError unless `value` is of the type that `wanted` says; a boolean is no number."""
    fits = isinstance(value, _TYPES[wanted])
    if not fits or (isinstance(value, bool) and wanted != _YES_NO):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")


def _output_of(error_handling: Optional[Mapping[str, str]]) -> Optional[str]:
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


def _to_failure(letter: DeadLetter) -> Any:
    columns = letter._asdict()
    element = Prompt(letter.id, columns.pop("request"), letter.input, letter.place)
    return Failure(element=element, msg=message(letter), stack="", **columns)


def _fail(letter: DeadLetter, name: str) -> None:
    raise RowFailed(
        f"row {letter.id!r} failed: {message(letter)}; to go on without failed rows, add"
        f" error_handling: {{output: NAME}} to {name}"
    )
