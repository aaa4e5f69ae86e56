"""The options of a transform in YAML: checked by name and type, and turned into arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm import Answer
from ritellm.calls.params import CHAT_PARAMS, COMMON_PARAMS
from ritellm.suggest import did_you_mean
from transforms.budget.accounts import Caps
from transforms.budget.ledger import NewLedger
from transforms.journal import JournalError, NewJournal
from transforms.journal.spec import job_name

NUMBER, COUNT, TEXT, YES_NO = "a number", "a whole number", "a text", "true or false"
OBJECT = "an object"
# The options that say what an answer must be, beside its columns or its schema.
_OF_ANSWERS = ("reasks", "grow_max_tokens", "validator", "answer_mode")

# The options of a job by name, and what their values must be.
_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys("max_in_flight num_retries max_total_tokens shards".split(), COUNT),
    **dict.fromkeys("rpm tpm give_up_after timeout max_cost_usd".split(), NUMBER),
    **dict.fromkeys("commit_every drain_seconds".split(), NUMBER),
    **dict.fromkeys("base_url api_key_env api_key_secret api_key_file".split(), TEXT),
    **dict.fromkeys("journal job on_interrupt on_length".split(), TEXT),
    **dict.fromkeys("dedupe drop_params".split(), YES_NO),
    **dict.fromkeys("answer_columns answer_mode validator".split(), TEXT),
    **dict.fromkeys("reasks grow_max_tokens".split(), COUNT),
    "answer_schema": OBJECT,
    "hedge_after": "seconds or a text such as p95",
    "extra_body": OBJECT,
}
# Parameters of a request whose values can be checked here; a provider checks the others.
_PARAMS: Mapping[str, str] = {
    **dict.fromkeys("max_tokens max_completion_tokens n seed top_k".split(), COUNT),
    **dict.fromkeys("temperature top_p min_p frequency_penalty presence_penalty".split(), NUMBER),
    **dict.fromkeys("reasoning_effort service_tier user verbosity".split(), TEXT),
}
_KNOWN = CHAT_PARAMS | COMMON_PARAMS | _OPTIONS.keys()
_TYPES: Mapping[str, tuple[type, ...]] = {
    NUMBER: (int, float),
    COUNT: (int,),
    TEXT: (str,),
    YES_NO: (bool,),
    _OPTIONS["hedge_after"]: (int, float, str),
    OBJECT: (dict,),
}


def arguments(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the transform in Python; raises TypeError or ValueError."""
    for name, value in given.items():
        if name not in _KNOWN:
            raise TypeError(f"unknown parameter {name!r}{did_you_mean(name, _KNOWN)}")
        if (wanted := _OPTIONS.get(name) or _PARAMS.get(name)) and value is not None:
            check(name, value, wanted)
    left = {name: value for name, value in given.items() if value is not None}
    job = f"yaml://{left.pop('job', '')}"
    if (answer := _answer(left)) is not None:
        left["answer"] = answer
    caps = Caps(left.pop("max_cost_usd", None), left.pop("max_total_tokens", None))
    journal = _journal(left.pop("journal", "none"), job)
    if journal is not None:
        left["journal"] = journal
    if caps != Caps():
        redis = journal.redis if journal is not None else None
        left["budget"] = ledger = NewLedger(caps, redis, job_name(job))
        ledger.check(model)
    return left


def _answer(left: dict[str, Any]) -> Answer | None:
    """Take the options of answers out of `left`; return what they say, None without a schema."""
    columns, schema = left.pop("answer_columns", None), left.pop("answer_schema", None)
    given = {name: left.pop(name) for name in _OF_ANSWERS if name in left}
    if columns is None and schema is None:
        if given:
            raise ValueError(f"{next(iter(given))} needs answer_columns or answer_schema")
        return None
    if columns is not None and schema is not None:
        raise ValueError("answer_columns and answer_schema are one option: leave out one of them")
    if "answer_mode" in given:
        given["mode"] = given.pop("answer_mode")
    return Answer(columns if schema is None else schema, **given)


def _journal(spec: str, job: str) -> NewJournal | None:
    if spec == "none":
        return None
    if spec == "auto":
        raise ValueError("journal must be sqlite:PATH, redis://HOST/DB or a folder, got 'auto'")
    try:
        return NewJournal(spec, job)
    except JournalError as error:
        raise ValueError(str(error)) from None


def check(name: str, value: Any, wanted: str) -> None:
    """Raise TypeError unless `value` is of the type that `wanted` says; a boolean is no number."""
    fits = isinstance(value, _TYPES[wanted])
    if not fits or (isinstance(value, bool) and wanted != YES_NO):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
