"""The JSON forms of lists, structs, maps and wrapped types, made of the forms of their parts.

Arrow keeps a nested column as one flat array of its parts, so each part is converted at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa

from pipelines.tables.forms import Form, Unfit, check_kinds, to_array

_Convert = Callable[[pa.Array], pa.Array]


def _build(
    type: pa.DataType, values: Sequence[Any], children: list[pa.Array], offsets: Any = ()
) -> pa.Array:
    """Return an array of a nested type, which is null where `values` are."""
    valid = [value is not None for value in values]
    nulls = valid.count(False)
    # A map without entries must have no nulls among them, so their number is given.
    bitmap = pa.array(valid, pa.bool_()).buffers()[1] if nulls else None
    return pa.Array.from_buffers(
        type, len(values), [bitmap, *offsets], null_count=nulls, children=children
    )


def _offsets(type: pa.DataType, values: Sequence[Any]) -> pa.Buffer:
    ends = accumulate((len(value or ()) for value in values), initial=0)
    is_large = pa.types.is_large_list(type)
    return to_array(list(ends), pa.int64() if is_large else pa.int32()).buffers()[1]


class List:
    """Lists."""

    def __init__(self, type: pa.DataType, item: Form) -> None:
        self._type = type
        self._item = item

    def values(self, array: pa.Array) -> list[Any]:
        items = iter(self._item.values(array.flatten()))
        return [None if length is None else _take(items, length) for length in self._lengths(array)]

    def _lengths(self, array: pa.Array) -> Iterator[int | None]:
        if pa.types.is_fixed_size_list(self._type):
            lengths = [self._type.list_size] * len(array)
        else:
            offsets = array.offsets.to_pylist()
            lengths = [end - start for start, end in pairwise(offsets)]
        for length, is_valid in zip(lengths, array.is_valid().to_pylist(), strict=True):
            yield length if is_valid else None

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {list}, self._type)
        if pa.types.is_fixed_size_list(self._type):
            return self._fixed(values)
        items = self._item.array([item for value in values if value for item in value])
        return _build(self._type, values, [items], [_offsets(self._type, values)])

    def _fixed(self, values: Sequence[Any]) -> pa.Array:
        size = self._type.list_size
        if any(len(value) != size for value in values if value is not None):
            raise Unfit(f"a list must have {size} items")
        filled = ([None] * size if value is None else value for value in values)
        items = self._item.array([item for value in filled for item in value])
        return _build(self._type, values, [items])


def _take(items: Iterator[Any], count: int) -> list[Any]:
    return [next(items) for _ in range(count)]


class Struct:
    """Structs as objects, or as lists if two of their fields have the same name."""

    def __init__(self, type: pa.DataType, fields: Mapping[int, Form]) -> None:
        self._type = type
        self._fields = fields
        self._names = [type.field(index).name for index in range(type.num_fields)]
        self._unique = len(set(self._names)) == len(self._names)

    def values(self, array: pa.Array) -> list[Any]:
        parts = array.flatten()
        columns = [form.values(parts[index]) for index, form in self._fields.items()]
        rows = zip(*columns, strict=True) if columns else ((),) * len(array)
        valid = array.is_valid().to_pylist()
        return [
            self._value(row) if is_valid else None
            for row, is_valid in zip(rows, valid, strict=True)
        ]

    def _value(self, row: Sequence[Any]) -> Any:
        return dict(zip(self._names, row, strict=True)) if self._unique else list(row)

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {dict if self._unique else list}, self._type)
        rows = [self._row(value) for value in values]
        children = [
            form.array([row[index] for row in rows]) for index, form in self._fields.items()
        ]
        return _build(self._type, values, children)

    def _row(self, value: Any) -> Sequence[Any]:
        if value is None:
            return [None] * len(self._names)
        if len(value) != len(self._names) or (self._unique and value.keys() != set(self._names)):
            raise Unfit(f"a struct must have the fields {', '.join(self._names)}")
        return [value[name] for name in self._names] if self._unique else list(value)


class Map:
    """Maps as objects; as lists of pairs if the form of a key is no text, or occurs twice."""

    def __init__(self, type: pa.DataType, key: Form, item: Form) -> None:
        self._type = type
        self._entries = pa.struct([type.key_field, type.item_field])
        # With two equal names, the form of the struct is a pair.
        fields = [pa.field("", type.key_type), pa.field("", type.item_type)]
        self._pairs = List(
            pa.list_(pa.struct(fields)), Struct(pa.struct(fields), {0: key, 1: item})
        )
        self._key, self._item = key, item

    def values(self, array: pa.Array) -> list[Any]:
        entries = pa.StructArray.from_arrays([array.keys, array.items], fields=list(self._entries))
        lists = pa.Array.from_buffers(
            pa.list_(self._entries),
            len(array),
            array.buffers()[:2],
            offset=array.offset,
            children=[entries],
        )
        return [pairs if pairs is None else _object(pairs) for pairs in self._pairs.values(lists)]

    def array(self, values: Sequence[Any]) -> pa.Array:
        check_kinds(values, {dict, list}, self._type)
        lists = [list(v.items()) if isinstance(v, dict) else v for v in values]
        pairs = [pair for each in lists if each for pair in each]
        if any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
            raise Unfit("a map must be an object or a list of pairs")
        if any(key is None for key, _ in pairs):
            raise Unfit("a key of a map must not be null")
        children = [self._key.array([k for k, _ in pairs]), self._item.array([v for _, v in pairs])]
        entries = _build(self._entries, pairs, children)
        return _build(self._type, lists, [entries], [_offsets(self._type, lists)])


def _object(pairs: list[Any]) -> Any:
    found = {key: item for key, item in pairs if isinstance(key, str)}
    return found if len(found) == len(pairs) else pairs


class Wrapped:
    """Types that Arrow keeps as an array of another type: extensions, categories, runs, views.

    `unwrap` returns that array, and `wrap` makes an array of the type of it. Without `wrap` Parquet
    does not have the type, and `array` returns the other array.
    """

    def __init__(self, form: Form, unwrap: _Convert, wrap: _Convert | None = None) -> None:
        self._form = form
        self._unwrap = unwrap
        self._wrap = wrap

    def values(self, array: pa.Array) -> list[Any]:
        return self._form.values(self._unwrap(array))

    def array(self, values: Sequence[Any]) -> pa.Array:
        array = self._form.array(values)
        return array if self._wrap is None else self._wrap(array)
