"""Which columns an input has, before its rows are read: from its schema, or its first rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pipelines.bigquery import PREFIX, TableError, parse, table_columns
from pipelines.errors import UsageError
from pipelines.inputs.base import SAMPLE_ROWS, InputFormat
from pipelines.inputs.row_form import ASKING, FAILED, RowForm
from pipelines.inputs.rows import Line
from ritellm.suggest import did_you_mean
from transforms import exact_json
from transforms.prompts.records import ROW

_SHOWN = 50


class KnownColumns(NamedTuple):
    """The names of the columns, in the order of the input.

    `rows` is the number of rows that were read for it, 0 for a schema. `is_typed` says that each
    row has these columns.
    """

    names: Sequence[str]
    rows: int = 0
    is_typed: bool = True


def known_columns(
    format: InputFormat, locations: Sequence[str], rows: RowForm, *, needed: bool = False
) -> KnownColumns | None:
    """Return the columns of the input, None if it is not known; raises UsageError.

    Without a schema the first rows are read only if a flag names a column, or if they are `needed`.
    """
    if locations[0].startswith(PREFIX):
        return _of_table(locations[0])
    schema = format.schema(locations)
    if schema is not None:
        return KnownColumns(schema.names)
    if not rows.named and not rows.columns and not needed:
        return None
    return _of_rows(format.head(locations, SAMPLE_ROWS), rows)


def _of_table(location: str) -> KnownColumns:
    try:
        found = table_columns(parse(location))
    except (TableError, ValueError) as error:
        raise UsageError(f"--input {location}: {error}") from None
    return KnownColumns([*(found or ())])


def _of_rows(lines: Sequence[Line], rows: RowForm) -> KnownColumns:
    names: dict[str, None] = {}
    count = 0
    for line in lines:
        if (row := _row(line.text, rows)) is not None:
            count += 1
            names |= dict.fromkeys(row)
    return KnownColumns([*names], count, is_typed=False)


def _row(text: str, rows: RowForm) -> Mapping[str, Any] | None:
    try:
        row = exact_json.loads(text)
    except (ValueError, RecursionError):
        return None
    if rows.is_failed(row):
        row = row["input"]
    return row if isinstance(row, dict) else None


def check_columns(
    known: KnownColumns | None, by_flag: Mapping[str, Collection[str]], rows: RowForm
) -> None:
    """Raise UsageError for a column that a flag names and no row has, and for rows without prompt.

    Without readable rows there is nothing to check: each has its own reason. A column that may be
    missing may also be in later rows only.
    """
    if known is None or not known.names:
        return
    later = rows.form.optional if known.rows >= SAMPLE_ROWS else frozenset()
    for flag, names in by_flag.items():
        missing = sorted({*names} - {*known.names} - later)
        if ROW in known.names and flag.endswith("_template"):
            # Then `row.x` is not the column x, but a part of the column `row`.
            missing = []
        if missing:
            raise UsageError(_missing(flag, missing[0], known))
    if known.is_typed and rows.form.is_default:
        _check_prompt(known.names)


def _missing(flag: str, name: str, known: KnownColumns) -> str:
    who = f"none of the first {known.rows:,} rows has" if known.rows else "the input does not have"
    near = did_you_mean(name, known.names)
    return f"{flag} names the column {name!r}, which {who}; it has {_listed(known.names)}{near}"


def _check_prompt(names: Sequence[str]) -> None:
    if ASKING.isdisjoint(names) and not {*names} >= FAILED:
        raise UsageError(
            "the input must have a column 'prompt', 'messages' or 'body', or use --prompt_template;"
            f" it has {_listed(names)}"
        )


def _listed(names: Iterable[str]) -> str:
    shown = [*islice(names, _SHOWN + 1)]
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
