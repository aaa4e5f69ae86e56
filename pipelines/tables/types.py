"""Chooses the form of each Arrow type, and the type in which Parquet can keep its values."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as kinds

from pipelines.tables import nested, scalars, times
from pipelines.tables.forms import Form

_MOST_DIGITS = 76


def form_of(type: pa.DataType, lax: bool = False) -> Form:
    """Return the JSON form of `type`; with `lax`, text may have bytes that are not UTF-8."""
    if isinstance(type, pa.BaseExtensionType):
        return _extension(type, lax)
    if kinds.is_dictionary(type):
        # Arrow cannot decode a dictionary of views.
        plain = _storable_scalar(type.value_type) if _is_view(type.value_type) else type.value_type
        return nested.Wrapped(
            form_of(plain, lax),
            lambda a: a.cast(pa.dictionary(type.index_type, plain)).dictionary_decode(),
            lambda a: a.dictionary_encode(),
        )
    if _is(type, "run_end_encoded"):
        return nested.Wrapped(form_of(type.value_type, lax), _run_end_decoded)
    if kinds.is_nested(type):
        return _nested(type, lax)
    return _scalar(type, lax)


def _is(type: pa.DataType, kind: str) -> bool:
    """Return whether `type` is of a kind that older versions of Arrow do not have."""
    test = getattr(kinds, f"is_{kind}", None)
    return test is not None and bool(test(type))


def _is_view(type: pa.DataType) -> bool:
    return _is(type, "string_view") or _is(type, "binary_view")


def _run_end_decoded(array: pa.Array) -> pa.Array:
    import pyarrow.compute

    return pyarrow.compute.run_end_decode(array)


def _extension(type: pa.DataType, lax: bool) -> Form:
    if type.extension_name == "arrow.uuid":
        storage: Form = scalars.UuidText(type.storage_type)
    else:
        storage = form_of(type.storage_type, lax)
    return nested.Wrapped(
        storage, lambda a: a.storage, lambda a: pa.ExtensionArray.from_storage(type, a)
    )


def _nested(type: pa.DataType, lax: bool) -> Form:
    if kinds.is_struct(type):
        fields = {index: form_of(field.type, lax) for index, field in enumerate(type)}
        return nested.Struct(type, fields)
    if kinds.is_map(type):
        return nested.Map(type, form_of(type.key_type, lax), form_of(type.item_type, lax))
    if kinds.is_list(type) or kinds.is_large_list(type) or kinds.is_fixed_size_list(type):
        return nested.List(type, form_of(type.value_type, lax))
    if _is(type, "list_view") or _is(type, "large_list_view"):
        plain = pa.large_list(type.value_field)
        return nested.Wrapped(form_of(plain, lax), lambda a: a.cast(plain))
    return scalars.Loose()


def _scalar(type: pa.DataType, lax: bool) -> Form:
    if kinds.is_string(type) or kinds.is_large_string(type) or _is(type, "string_view"):
        return scalars.LaxText() if lax else scalars.Same(type, str)
    if kinds.is_integer(type):
        return scalars.Same(type, int)
    if kinds.is_floating(type):
        return scalars.Float(type)
    if kinds.is_boolean(type):
        return scalars.Same(type, bool)
    if kinds.is_decimal(type):
        return scalars.DecimalText(type)
    if kinds.is_null(type):
        return scalars.Nothing()
    if any(
        _is(type, kind) for kind in ("binary", "large_binary", "fixed_size_binary", "binary_view")
    ):
        return scalars.Base64(type)
    return _time(type) or scalars.Loose()


def _time(type: pa.DataType) -> Form | None:
    if kinds.is_date(type):
        return times.Date()
    if kinds.is_timestamp(type):
        return times.Timestamp(type)
    if kinds.is_time(type):
        return times.TimeOfDay(type)
    if kinds.is_duration(type):
        return times.Duration(type)
    return None


def storable(type: pa.DataType) -> pa.DataType | None:
    """Return the type in which Parquet keeps the values of `type`; None if only JSON text can.

    It is `type` itself, except for the types that Parquet does not have.
    """
    if isinstance(type, pa.BaseExtensionType):
        storage = storable(type.storage_type)
        return type if storage == type.storage_type else storage
    if kinds.is_dictionary(type):
        value = storable(type.value_type)
        is_text = value is not None and (kinds.is_string(value) or kinds.is_large_string(value))
        return pa.dictionary(pa.int32(), value) if is_text else value
    if _is(type, "run_end_encoded"):
        return storable(type.value_type)
    if kinds.is_nested(type):
        return _storable_nested(type)
    return _storable_scalar(type)


def _storable_nested(type: pa.DataType) -> pa.DataType | None:
    if kinds.is_struct(type):
        fields = [_storable_field(field) for field in type]
        unique = len({field.name for field in type}) == len(fields)
        return pa.struct(fields) if fields and unique and all(fields) else None
    if kinds.is_map(type):
        key, item = _storable_field(type.key_field), _storable_field(type.item_field)
        return pa.map_(key, item, keys_sorted=type.keys_sorted) if key and item else None
    if kinds.is_union(type):
        return None
    item = _storable_field(type.value_field)
    if item is None:
        return None
    is_large = kinds.is_large_list(type) or _is(type, "large_list_view")
    return pa.large_list(item) if is_large else pa.list_(item)


def _storable_field(field: pa.Field) -> pa.Field | None:
    type = storable(field.type)
    return None if type is None else field.with_type(type)


def _storable_scalar(type: pa.DataType) -> pa.DataType | None:
    if _is(type, "string_view"):
        return pa.string()
    if _is(type, "binary_view"):
        return pa.binary()
    if kinds.is_date64(type):
        return pa.date32()
    if kinds.is_decimal(type) and type.scale < 0:
        digits = type.precision - type.scale
        wide = pa.decimal128 if digits <= 38 else pa.decimal256
        return wide(digits, 0) if digits <= _MOST_DIGITS else None
    return None if isinstance(_scalar(type, lax=False), scalars.Loose) else type
