"""Strategies for Arrow types, and for columns of these types with any values."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Europe/Berlin", "+05:30")


def _int(bits, signed=True):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high) | st.integers(max(low, -100), min(high, 100))


def _decimal(precision, scale):
    digits = st.integers(-(10**precision) + 1, 10**precision - 1)
    return digits.map(lambda number: Decimal(f"{number}E{-scale}"))


def _float(width):
    return st.floats(width=width, allow_nan=False)


# The values are what `pa.array` takes: integers for all kinds of times.
SCALARS = [
    (pa.bool_(), st.booleans()),
    *((getattr(pa, f"int{bits}")(), _int(bits)) for bits in (8, 16, 32, 64)),
    *((getattr(pa, f"uint{bits}")(), _int(bits, signed=False)) for bits in (8, 16, 32, 64)),
    *((type, _float(bits)) for bits, type in ((32, pa.float32()), (64, pa.float64()))),
    (pa.decimal128(10, 2), _decimal(10, 2)),
    (pa.decimal128(38, 0), _decimal(38, 0)),
    (pa.decimal128(38, 38), _decimal(38, 38)),
    (pa.decimal256(76, 12), _decimal(76, 12)),
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.binary(), st.binary(max_size=8)),
    (pa.large_binary(), st.binary(max_size=8)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), _int(32)),
    *((pa.timestamp(unit, zone), _int(63)) for unit in UNITS[1:] for zone in ZONES),
    *((pa.timestamp("s", zone), _int(54)) for zone in ZONES),
    *((pa.time32(unit), st.integers(0, 86_399)) for unit in UNITS[:2]),
    *((pa.time64(unit), st.integers(0, 86_399_999_999)) for unit in UNITS[2:]),
    *((pa.duration(unit), _int(64)) for unit in UNITS),
    (pa.null(), st.none()),
]


def _nested(inner):
    """Return lists, structs and maps of columns from `inner`."""
    pairs = st.tuples(st.sampled_from([kind for kind in SCALARS if kind[0] != pa.null()]), inner)
    return st.one_of(
        inner.map(lambda kind: (pa.list_(kind[0]), _lists(kind))),
        inner.map(lambda kind: (pa.large_list(kind[0]), _lists(kind))),
        st.lists(inner, min_size=1, max_size=3).map(_struct),
        pairs.map(
            lambda pair: (
                pa.map_(pair[0][0], pair[1][0]),
                st.lists(st.tuples(pair[0][1], st.none() | pair[1][1]), max_size=3),
            )
        ),
    )


def _lists(kind):
    return st.lists(st.none() | kind[1], max_size=3)


def _struct(kinds):
    fields = {f"f{n}": kind for n, kind in enumerate(kinds)}
    values = st.fixed_dictionaries({name: st.none() | kind[1] for name, kind in fields.items()})
    return pa.struct([(name, kind[0]) for name, kind in fields.items()]), values


KINDS = st.recursive(st.sampled_from(SCALARS), _nested, max_leaves=4)


@st.composite
def columns(draw, kinds=KINDS):
    """Return an array of any type that Parquet can keep, as a slice of a larger one."""
    type, values = draw(kinds)
    array = pa.array(draw(st.lists(st.none() | values, max_size=6)), type)
    start = draw(st.integers(0, len(array)))
    return array.slice(start)
