"""`Answer`: what an answer must be, and how often the model may be asked again for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

from ritellm.answers import grammar, schemas
from ritellm.answers.checking import checker_of
from ritellm.answers.faults import Fault, path_of
from ritellm.wire.answer_modes import MODES

Validator = Callable[[Any], Any]
# More requests than this for one row are a mistake.
_MOST_REASKS = 20


@dataclass(frozen=True)
class Answer:
    """An answer with a schema. What the model writes is checked, and nothing is repaired.

    Raises ValueError for a schema that cannot be used, or if jsonschema-rs is not installed.

    Args:
        schema: a JSON schema of an object, a pydantic model, or columns as a text
            (`ritellm.answers.grammar`): `label:enum(good,bad), score:float, why:str?`.
        reasks: how often the model is asked again, with what was wrong, before the answer fails.
        grow_max_tokens: the `max_tokens` with which an answer that was cut off by its length is
            asked for once more. None is twice the `max_tokens` of the request.
        validator: a function, or "module:function", that gets the answer (a dict) and returns None,
            or a text that says what is wrong. A ValueError says it too. It must be quick.
        mode: `json_schema`, `tool`, `json_object` or `prompt`; None is the best documented one for
            the provider and the model.
    """

    schema: Any = field(compare=False)
    reasks: int = 2
    grow_max_tokens: int | None = None
    validator: str | Validator | None = None
    mode: str | None = None
    json: str = field(init=False, repr=False)  # the schema

    def __post_init__(self) -> None:
        object.__setattr__(self, "json", _json_of(self.schema))
        _check_number("reasks", self.reasks, 0, _MOST_REASKS)
        if self.grow_max_tokens is not None:
            _check_number("grow_max_tokens", self.grow_max_tokens, 1, 1 << 31)
        if self.mode not in (None, *MODES):
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        # These raise now for what would fail each answer.
        checker_of(self.json)
        _function(self.validator)

    @property
    def properties(self) -> dict[str, Any]:
        """The schemas of the top-level properties, by name: the columns."""
        return schemas.properties_of(json.loads(self.json))

    @property
    def key(self) -> dict[str, Any]:
        """What makes another answer of it: part of a completion's key in the journal."""
        return {"schema": json.loads(self.json), "mode": self.mode}

    def faults(self, value: Any) -> list[Fault]:
        """Return what is wrong with `value`: by the schema, the pydantic model, the validator."""
        found = checker_of(self.json).faults(value)
        if found:
            return found
        if _is_model(self.schema) and (found := _model_faults(self.schema, value)):
            return found
        check = _function(self.validator)
        return [] if check is None else _own_faults(check, value)

    def parsed(self, value: Any) -> Any:
        """Return a valid `value` as the pydantic model of the schema, or as it is."""
        return self.schema.model_validate(value) if _is_model(self.schema) else value


def _json_of(schema: Any) -> str:
    if isinstance(schema, str):
        schema = grammar.schema_of(schema)
    elif _is_model(schema):
        schema = schema.model_json_schema()
    elif not isinstance(schema, Mapping):
        raise ValueError(
            "schema must be a JSON schema, a pydantic model or columns as a text, got"
            f" {type(schema).__name__}"
        )
    return json.dumps(schemas.checked(schema), separators=(",", ":"))


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and hasattr(schema, "model_json_schema")


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {value!r}")


def _function(named: str | Validator | None) -> Validator | None:
    found: Validator | None = imported(named) if isinstance(named, str) else named
    return found


@lru_cache(maxsize=64)
def imported(name: str) -> Any:
    """Return what "module:name" names; raises ValueError."""
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise ValueError(f"must be module:name, got {name!r}")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the module or the name in {name} is not there: {error}") from None
    return found


def _model_faults(model: Any, value: Any) -> list[Fault]:
    try:
        model.model_validate(value)
    except ValueError as error:
        errors = getattr(error, "errors", None)
        if errors is None:
            return [Fault("$", "validator", str(error))]
        found = errors(include_url=False, include_input=False, include_context=False)
        return [Fault(path_of(each["loc"]), each["type"], each["msg"]) for each in found[:5]]
    return []


def _own_faults(check: Validator, value: Any) -> list[Fault]:
    try:
        said = check(value)
    except ValueError as error:
        said = str(error) or type(error).__name__
    if said is None or said is True or said == "":
        return []
    return [Fault("$", "validator", said if isinstance(said, str) else "the validator refused it")]
