"""What a record must fit: a schema as JSON, which goes to the workers. No Beam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Checking:
    """Checks the values of records against `schema`, a JSON schema as JSON; "" checks nothing."""

    schema: str = ""

    @classmethod
    def of(cls, schema: Any) -> Checking:
        """Return the checks for a JSON schema, its JSON, or a pydantic model.

        Raises ValueError for a schema that cannot be used.
        """
        if schema is None:
            return cls()
        if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
            schema = schema.model_json_schema()
        if isinstance(schema, str):
            schema = orjson.loads(schema)
        if not isinstance(schema, (Mapping, bool)):
            raise ValueError(
                "schema must be a JSON schema or a pydantic model, got a value of type"
                f" {type(schema).__name__}"
            )
        made = cls(orjson.dumps(schema).decode())
        made.check(None)  # raises now for a schema that no worker can use
        return made

    def check(self, value: Any) -> str:
        """Return what is wrong with `value`, "" if nothing is."""
        if not self.schema:
            return ""
        from ritellm.answers.checking import checker_of  # jsonschema-rs, which few jobs need

        return "; ".join(map(str, checker_of(self.schema).faults(value)))
