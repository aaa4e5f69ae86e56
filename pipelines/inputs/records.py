"""The values of a record, one for each column, as the JSON text of a row. Pure.

Formats with typed columns share it. Tables cannot hold objects of arbitrary shape: the columns
that may need one, `messages` for example, may hold JSON in a string.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from pipelines.inputs.columns import STRUCTURED
from pipelines.tables.floats import finite_or_name

JSON_COLUMNS = STRUCTURED | {"body", "messages"}


def to_json(record: Mapping[str, Any]) -> str:
    """Return `record` as a JSON object with sorted keys, without the columns that are null."""
    given = {name: _value(name, value) for name, value in record.items() if value is not None}
    return orjson.dumps(given, default=_text, option=orjson.OPT_SORT_KEYS).decode()


def _value(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return _finite(value)


def _finite(value: Any) -> Any:
    """Return `value` with texts for the floats that JSON does not have; it would write null."""
    if isinstance(value, float):
        return finite_or_name(value)
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """Return the text of a value that JSON does not have, as the other formats have it."""
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
