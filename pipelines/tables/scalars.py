"""The JSON forms of numbers, texts and binary values."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.tables.floats import finite_or_name
from pipelines.tables.forms import Unfit, cast, check_kinds, to_array

_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Same:
    """Values that JSON has too: booleans, integers and texts."""

    def __init__(self, type: pa.DataType, kind: type) -> None:
        self._type = type
        self._kinds = {kind}

    def values(self, array: pa.Array) -> list[Any]:
        return list(array.to_pylist())

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, self._kinds, self._type)
        return to_array(values, self._type)


class Nothing:
    """Arrow's type of columns that have only nulls."""

    def values(self, array: pa.Array) -> list[Any]:
        return [None] * len(array)

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, set(), "null")
        return pa.nulls(len(values))


class LaxText:
    """Texts with lone surrogates in place of bytes that are not UTF-8. One direction only."""

    def values(self, array: pa.Array) -> list[Any]:
        data = array.cast(pa.large_binary()).to_pylist()
        return [each if each is None else each.decode("utf-8", "surrogateescape") for each in data]

    def array(self, values: Sequence[Any]) -> pa.Array:
        raise Unfit("a text with lone surrogates is not UTF-8")


class Float:
    """Numbers, and "NaN", "Infinity" and "-Infinity".

    Numbers of 16 and 32 bits have as few digits as identify them: 0.1, not 0.10000000149011612.
    """

    def __init__(self, type: pa.DataType) -> None:
        self._type = type

    def values(self, array: pa.Array) -> list[Any]:
        if pa.types.is_float16(self._type):
            array = array.cast(pa.float32())
        if not pa.types.is_float64(self._type):
            array = array.cast(pa.string()).cast(pa.float64())
        found = array.to_pylist()
        if pc.all(pc.is_finite(array)).as_py() is False:
            return [finite_or_name(value) for value in found]
        return list(found)

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {float, int, str}, self._type)
        if str in set(map(type, values)):
            values = [_number(value) if isinstance(value, str) else value for value in values]
        return to_array(values, self._type)


def _number(name: str) -> float:
    if name not in _NOT_FINITE:
        raise Unfit(f"a number cannot be {name!r:.80}")
    return _NOT_FINITE[name]


class DecimalText:
    """Texts with all decimal places: "12.50"."""

    def __init__(self, type: pa.DataType) -> None:
        self._type = type

    def values(self, array: pa.Array) -> list[Any]:
        texts = array.cast(pa.string()).to_pylist()
        if 0 <= self._type.scale < 6:  # Arrow writes other numbers with an exponent
            return list(texts)
        return [
            f"{Decimal(text):f}" if text is not None and "E" in text else text for text in texts
        ]

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {str}, self._type)
        return cast(to_array(values, pa.string()), self._type)


class Base64:
    """Binary values as Base64."""

    def __init__(self, type: pa.DataType) -> None:
        self._type = type

    def values(self, array: pa.Array) -> list[Any]:
        found = array.to_pylist()
        return [data if data is None else b64encode(data).decode("ascii") for data in found]

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {str}, self._type)
        try:
            data = [text if text is None else b64decode(text, validate=True) for text in values]
        except ValueError as error:
            raise Unfit(f"not Base64: {error}") from None
        return to_array(data, self._type)


class UuidText:
    """The storage of UUIDs, 16 bytes, in their usual form with hyphens."""

    def __init__(self, type: pa.DataType) -> None:
        self._type = type

    def values(self, array: pa.Array) -> list[Any]:
        found = array.to_pylist()
        return [data if data is None else str(UUID(bytes=data)) for data in found]

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {str}, self._type)
        try:
            data = [text if text is None else UUID(text).bytes for text in values]
        except ValueError as error:
            raise Unfit(str(error)) from None
        return to_array(data, self._type)


class Loose:
    """Types that Parquet does not have: unions and intervals. One direction only."""

    def values(self, array: pa.Array) -> list[Any]:
        return [_plain(value) for value in array.to_pylist()]

    def array(self, values: Sequence[Any]) -> pa.Array:
        raise Unfit("no such type in Parquet")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return finite_or_name(value)
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, pa.MonthDayNano):
        return {"months": value.months, "days": value.days, "nanoseconds": value.nanoseconds}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
