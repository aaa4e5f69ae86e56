"""The JSON forms of dates, times, timestamps and durations.

They are those of ISO 8601 with as many decimal places as the unit has. Times beyond the years 1 to
9999, which databases use for "infinity", have no such text: their JSON form is the integer that
Arrow stores.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.tables.forms import Unfit, cast, check_kinds, to_array

_IN_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DECIMALS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_DAY = 86_400
_DAY_MS = _DAY * 1000
# Midnight of the first day of year 1 and of the first day after year 9999, in days since 1970.
_FIRST, _AFTER = -719_162, 2_932_897


class Times(ABC):
    """What the types below share: a text within a range, the stored integer beyond it.

    `low` and `high` are the range of stored integers that have a text.
    """

    def __init__(self, type: pa.DataType, low: int, high: int) -> None:
        self._type = type
        self._stored = pa.int32() if type.bit_width == 32 else pa.int64()
        self._low, self._high = low, high

    def values(self, array: pa.Array) -> list[Any]:
        stored = array.view(self._stored)
        if self._all_within(stored):
            return self._texts(stored)
        numbers = stored.to_pylist()
        within = [None if self._is_beyond(number) else number for number in numbers]
        texts = self._texts(pa.array(within, self._stored))
        return [n if self._is_beyond(n) else text for n, text in zip(numbers, texts, strict=True)]

    def _all_within(self, stored: pa.Array) -> bool:
        ends = pc.min_max(stored).as_py()
        return ends["min"] is None or (self._low <= ends["min"] and ends["max"] <= self._high)

    def _is_beyond(self, number: int | None) -> bool:
        return number is not None and not self._low <= number <= self._high

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {int, str}, self._type)
        texts = [value if isinstance(value, str) else None for value in values]
        parsed = self._parsed(texts)
        if int in set(map(type, values)):
            pairs = zip(values, parsed.to_pylist(), strict=True)
            mixed = [value if isinstance(value, int) else number for value, number in pairs]
            parsed = to_array(mixed, self._stored)
        return cast(parsed, self._stored).view(self._type)

    @abstractmethod
    def _texts(self, stored: pa.Array) -> list[Any]:
        """Return the texts of stored integers within the range."""

    @abstractmethod
    def _parsed(self, texts: Sequence[str | None]) -> pa.Array:
        """Return the stored integers of texts; raises Unfit."""


class Date(Times):
    """ "2024-02-29"."""

    def __init__(self) -> None:
        super().__init__(pa.date32(), _FIRST, _AFTER - 1)

    def values(self, array: pa.Array) -> list[Any]:
        if not pa.types.is_date64(array.type):
            return super().values(array)
        dates = super().values(array.cast(pa.date32(), safe=False))
        exact = [n is None or n % _DAY_MS == 0 for n in array.view(pa.int64()).to_pylist()]
        if all(exact):
            return dates
        # A date64 that is not at midnight is no date. It has the form of a timestamp.
        times = Timestamp(pa.timestamp("ms")).values(array.view(pa.timestamp("ms")))
        return [d if is_date else t for d, t, is_date in zip(dates, times, exact, strict=True)]

    def _texts(self, stored: pa.Array) -> list[Any]:
        return list(stored.view(self._type).cast(pa.string()).to_pylist())

    def _parsed(self, texts: Sequence[str | None]) -> pa.Array:
        return cast(to_array(texts, pa.string()), self._type).view(self._stored)


class Timestamp(Times):
    """ "2024-02-29T12:00:00.000000"; with a zone, in UTC and with a Z."""

    def __init__(self, type: pa.DataType) -> None:
        second = _IN_A_SECOND[type.unit]
        super().__init__(type, _FIRST * _DAY * second, _AFTER * _DAY * second - 1)
        self._end = "" if type.tz is None else "Z"

    def _texts(self, stored: pa.Array) -> list[Any]:
        texts = stored.view(pa.timestamp(self._type.unit)).cast(pa.string()).to_pylist()
        return [t if t is None else f"{t[:10]}T{t[11:]}{self._end}" for t in texts]

    def array(self, values: Sequence[Any]) -> pa.Array:
        made = super().array(values)
        if self._type.unit == "s":  # Parquet has no seconds, so they must fit as milliseconds
            cast(made, pa.timestamp("ms", self._type.tz))
        return made

    def _parsed(self, texts: Sequence[str | None]) -> pa.Array:
        if any(text is not None and text.endswith("Z") != bool(self._end) for text in texts):
            raise Unfit(f"{self._type} must {'' if self._end else 'not '}end in Z")
        bare = [text if text is None else text.removesuffix("Z") for text in texts]
        naive = pa.timestamp(self._type.unit)
        return cast(to_array(bare, pa.string()), naive).view(self._stored)


class TimeOfDay(Times):
    """ "12:00:00.000000"."""

    def __init__(self, type: pa.DataType) -> None:
        super().__init__(type, 0, _DAY * _IN_A_SECOND[type.unit] - 1)

    def _texts(self, stored: pa.Array) -> list[Any]:
        return list(stored.view(self._type).cast(pa.string()).to_pylist())

    def _parsed(self, texts: Sequence[str | None]) -> pa.Array:
        dated = [text if text is None else f"1970-01-01T{text}" for text in texts]
        return cast(to_array(dated, pa.string()), pa.timestamp(self._type.unit)).view(pa.int64())


class Duration:
    """Seconds, "3.500s", as the JSON form of Protocol Buffers has them."""

    def __init__(self, type: pa.DataType) -> None:
        self._type = type
        self._places = places = _DECIMALS[type.unit]
        self._pattern = re.compile(r"-?[0-9]{1,19}" + rf"\.[0-9]{{{places}}}" * (places > 0) + "s")

    def values(self, array: pa.Array) -> list[Any]:
        numbers = array.view(pa.int64()).to_pylist()
        return [n if n is None else f"{Decimal(n).scaleb(-self._places):f}s" for n in numbers]

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {str}, self._type)
        numbers = [text if text is None else self._number(text) for text in values]
        return to_array(numbers, pa.int64()).view(self._type)

    def _number(self, text: str) -> int:
        if not self._pattern.fullmatch(text):
            raise Unfit(f"not a duration in {self._type.unit}: {text!r:.80}")
        return int(text[:-1].replace(".", ""))
