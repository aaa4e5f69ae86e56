"""Prompts as requests: parsed once, with their key in the journal. No Beam, no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.providers import split_model
from transforms.elements import Completion, Prompt
from transforms.journal.key import JournalKey
from transforms.worker.refused_params import refuse_what_only_the_job_decides

if TYPE_CHECKING:
    from ritellm.calls.plan import Draft, Plan

# The most drafts to keep. The rows of a job usually have few different sets of parameters.
_MOST_DRAFTS = 256


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """A prompt with the `body` of its request, or with the `refusal` that ends it.

    `key` is the key of its completion in the journal, None without a journal. `digest` tells the
    deltas of this prompt from those of another one with the same id, "" without deltas. `earlier`
    are completions of an earlier run for the first requests of a row with an answer, in order.
    """

    prompt: Prompt
    body: Mapping[str, Any]
    refusal: RitellmError | None = None
    key: JournalKey | None = None
    digest: str = ""
    earlier: list[Completion] | None = None

    def model(self, job_model: str) -> str:
        """Return the model, the row's own or the job's; raises the refusal."""
        if self.refusal is not None:
            raise self.refusal
        wanted = self.body.get("model")
        return same_provider(wanted, job_model) if wanted else job_model


class Drafts:
    """The drafts of a process: requests with the same parameters share one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], Draft] = {}

    def plan(self, request: PromptRequest, job_model: str, draft: Callable[..., Draft]) -> Plan:
        """Return the plan for `request`, in a job with the model `job_model`.

        `draft(model, **parameters)` makes the first of its kind. Raises InvalidRequestError.
        """
        model = request.model(job_model)
        own = {k: v for k, v in request.body.items() if k not in _NOT_PARAMETERS}
        key = model, orjson.dumps(own) if own else b""
        found = self._kept.get(key)
        if found is None:
            found = draft(model, **own)
            if found.lasts:
                if len(self._kept) >= _MOST_DRAFTS:
                    self._kept.clear()
                self._kept[key] = found
        return found.plan(request.body.get("messages"))


_NOT_PARAMETERS = frozenset({"messages", "model", "stream"})


def request_of(prompt: Prompt) -> dict[str, Any]:
    """Return the body in `prompt.request`; raises InvalidRequestError."""
    try:
        body = orjson.loads(prompt.request)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the request is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("the request must be a JSON object")
    refuse_what_only_the_job_decides(body)
    return body


def laid_over(params: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row's `body`, which overrides the job's `params`; null is the same as not given.

    A row adds to the `extra_body` of the job, and cannot remove a guardrail or a route from it.
    """
    given = {name: value for name, value in body.items() if value is not None}
    of_job, of_row = params.get("extra_body"), given.get("extra_body")
    if not isinstance(of_job, Mapping) or not isinstance(of_row, Mapping):
        return given
    if taken := sorted(of_job.keys() & of_row.keys()):
        raise InvalidRequestError(
            f"a row may not set {', '.join(taken)} in extra_body: the job sets it"
        )
    return {**given, "extra_body": {**of_job, **of_row}}


def same_provider(wanted: str, job_model: str) -> str:
    """Return the model of a row, if its provider is the job's: the key is the job's too."""
    provider, of_job = split_model(wanted)[0].name, split_model(job_model)[0].name
    if provider != of_job:
        raise InvalidRequestError(
            f"a row may not choose provider {provider!r}: the job's is {of_job!r}"
        )
    return wanted
