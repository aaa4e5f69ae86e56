"""Checks answers against a schema with jsonschema-rs, which is imported on first use. Pure.

Patterns run in Rust's `regex`, whose time is linear in the text, so a hostile pattern or answer
does not take long. It has no look-around and no back-references: a schema with one is refused.
References are resolved offline.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ritellm.answers.faults import Fault, path_of
from ritellm.answers.schemas import SchemaError
from ritellm.extras import install

# The message to the model names this many faults at most.
_MOST_FAULTS = 5
_PATTERN_BYTES = 1 << 20


class Checker:
    """Finds the faults of answers to one schema, given as JSON."""

    def __init__(self, schema: str) -> None:
        library = _library()
        try:
            self._validator = library.validator_for(
                schema,
                validate_formats=True,
                pattern_options=library.RegexOptions(_PATTERN_BYTES, _PATTERN_BYTES),
                offline=True,
            )
        except Exception as error:  # the library's errors have no common class
            raise SchemaError(f"the schema cannot be used: {_reason(error)}") from None

    def faults(self, value: Any) -> list[Fault]:
        """Return what is wrong with `value`, nothing if it is valid."""
        try:
            if self._validator.is_valid(value):
                return []
            found = []
            for error in self._validator.iter_errors(value):
                found.append(_fault(error))
                if len(found) == _MOST_FAULTS:
                    break
            return found
        except ValueError as error:
            return [Fault("$", "json", str(error))]


@lru_cache(maxsize=64)
def checker_of(schema: str) -> Checker:
    """Return the checker for `schema`; raises SchemaError."""
    return Checker(schema)


def _fault(error: Any) -> Fault:
    path = [*error.schema_path]
    rule = next((part for part in reversed(path) if isinstance(part, str)), "schema")
    return Fault(path_of(error.instance_path), rule, error.message)


def _reason(error: Exception) -> str:
    where = path_of(getattr(error, "instance_path", ()))
    message = str(getattr(error, "message", error)).splitlines()[0]
    if 'is not a "regex"' in message:
        message += " (without look-around and back-references)"
    return f"{where}: {message}"


def _library() -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise SchemaError(
            f"answers with a schema need the package jsonschema-rs: {install('answers')}"
        ) from None
    return jsonschema_rs
