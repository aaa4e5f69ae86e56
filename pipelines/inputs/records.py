"""The values of a record, one for each column, as the JSON text of a row. Pure.

Formats with typed columns share it. Tables cannot hold objects of arbitrary shape: the columns
that may need one, `messages` for example, may hold JSON in a string.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from pipelines.inputs.columns import STRUCTURED

JSON_COLUMNS = STRUCTURED | {"body", "messages"}


def to_json(record: Mapping[str, Any]) -> str:
    """Return `record` as a JSON object with sorted keys, without the columns that are null."""
    given = {name: _value(name, value) for name, value in record.items() if value is not None}
    return orjson.dumps(given, default=str, option=orjson.OPT_SORT_KEYS).decode()


def _value(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
