"""The transforms for Beam YAML; `templates/yaml/ritellm.yaml` lists them for a pipeline to include.

They take values that YAML has, and return rows with a schema. A failed row goes to the output that
`error_handling` names. Without it a failed row fails the job, as in Beam's own YAML transforms.
"""

# No `from __future__ import annotations`: Beam reads annotations as types, and not `str | None`.
# ruff: noqa: UP045
from collections.abc import Callable, Mapping
from typing import Any, Optional

import apache_beam as beam

from ritellm.providers import split_model
from transforms import assembly, completions, records
from transforms.prompts import to_prompts
from transforms.yaml.answers import AnswerRows
from transforms.yaml.failures import OUTPUT, Failure, RowFailed, fail, output_of, to_failure
from transforms.yaml.options import NUMBER, OBJECT, TEXT, YES_NO, arguments, check

__all__ = [
    "AssembleCompletions",
    "AssembleRecords",
    "CompletePrompts",
    "Failure",
    "RowFailed",
    "StreamCompletions",
    "StreamRecords",
    "ToPrompts",
]


class _YamlTransform(beam.PTransform):  # type: ignore[misc]
    """The base of the transforms: where failed rows go."""

    def __init__(self, error_handling: Optional[Mapping[str, str]]) -> None:
        super().__init__()
        self._errors = output_of(error_handling)

    def _outputs(self, good: Any, failed: Any, **more: Any) -> dict[str, Any]:
        if self._errors is None:
            failed | "FailTheJob" >> beam.Map(fail, type(self).__name__)
            return {OUTPUT: good, **more}
        failures = failed | "ToFailures" >> beam.Map(to_failure).with_output_types(Failure)
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
        check("model", model, TEXT)
        split_model(model)  # raises for a provider that does not exist
        self._transform = make(model, **arguments(model, given))

    def _failed(self, done: Any) -> Any:
        """Return the prompts without an answer; `commit_every` keeps some of them apart."""
        failed = tuple(done[tag] for tag in self._transform._failed())
        return failed[0] if len(failed) == 1 else failed | "Failed" >> beam.Flatten()


class CompletePrompts(_ModelTransform):
    """Completes prompts with a model: rows with `id` and `request`, as ToPrompts makes them.

    The output has a row for each completion. With `emit_deltas` the output `deltas` has one for
    each chunk. With `answer_columns` or `answer_schema` each answer is checked, and its properties
    are columns.

    Args:
        model: the model as PROVIDER/MODEL, for example openai/gpt-4o-mini.
        emit_deltas: whether to have the output `deltas`.
        error_handling: `output` names the output of failed rows.
        options: the options of the transform in Python, such as `max_in_flight` and `api_key_env`;
            `journal`, `max_cost_usd` and `max_total_tokens`; `answer_columns` or `answer_schema`,
            `reasks`, `grow_max_tokens`, `validator` and `answer_mode`; and parameters of a request,
            such as `max_tokens` and `temperature`.
    """

    def __init__(
        self,
        model: str,
        emit_deltas: bool = False,
        error_handling: Optional[Mapping[str, str]] = None,
        **options: Any,
    ) -> None:
        check("emit_deltas", emit_deltas, YES_NO)
        self._emit_deltas = emit_deltas

        def make(model: str, **given: Any) -> Any:
            return completions.CompletePrompts(model, emit_deltas=emit_deltas, **given)

        super().__init__(model, error_handling, make, options)
        answer = self._transform.answer
        self._answer_rows = None if answer is None else AnswerRows(answer)

    def expand(self, rows: Any) -> dict[str, Any]:
        """Complete each prompt."""
        done = rows | self._transform
        more = {"deltas": done.deltas} if self._emit_deltas else {}
        completions = done.completions
        if self._answer_rows is not None:
            completions = completions | "Columns" >> self._answer_rows
        return self._outputs(completions, self._failed(done), **more)


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
        return self._outputs(done.deltas, self._failed(done))


class StreamRecords(_ModelTransform):
    """Streams the records of answers: the output has a row for each, as soon as it closes.

    Args:
        model: the model as PROVIDER/MODEL, for example openai/gpt-4o-mini.
        path: the parts of the JSON that are records, such as $.items[*].
        schema: the JSON schema of a record. A row of another record is not `valid`.
        error_handling: `output` names the output of failed rows, and of answers that are not whole.
        options: those of CompletePrompts.
    """

    def __init__(
        self,
        model: str,
        path: str = "$.items[*]",
        schema: Optional[Mapping[str, Any]] = None,
        error_handling: Optional[Mapping[str, str]] = None,
        **options: Any,
    ) -> None:
        check("path", path, TEXT)
        if schema is not None:
            check("schema", schema, OBJECT)

        def make(model: str, **given: Any) -> Any:
            return records.StreamRecords(model, schema, path, **given)

        super().__init__(model, error_handling, make, options)

    def expand(self, rows: Any) -> dict[str, Any]:
        """Stream each prompt."""
        done = rows | self._transform
        return self._outputs(done.records, self._failed(done))


class AssembleRecords(_YamlTransform):
    """Keeps the records of whole answers, each once.

    Args:
        wait_seconds: for streams: seconds without a record after which a prompt is incomplete.
        error_handling: `output` names the output of prompts without a whole answer.
    """

    def __init__(
        self,
        wait_seconds: Optional[float] = None,
        error_handling: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(error_handling)
        if wait_seconds is not None:
            check("wait_seconds", wait_seconds, NUMBER)
        self._transform = records.AssembleRecords(wait_seconds)

    def expand(self, rows: Any) -> dict[str, Any]:
        """Collect the records of each prompt."""
        whole = rows | self._transform
        return self._outputs(whole.records, whole.incomplete)


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
            check("wait_seconds", wait_seconds, NUMBER)
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
