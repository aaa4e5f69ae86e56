"""The rows of a shard in Parquet or CSV, in the form of JSON lines.

A table has the columns of the input, then ours, of which the last has what is left of the input.
CSV has texts only: the input columns of its rows are texts.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.filesystem import is_local
from pipelines.results.errors import Unreadable
from pipelines.results.row import Row
from pipelines.tables import outcomes
from pipelines.tables.formulas import original
from pipelines.tables.rows import is_json
from pipelines.tables.types import form_of
from transforms import exact_json

_BATCH_ROWS = 2_000
# A row of CSV must fit into a block.
_CSV_BLOCK = 64 << 20


def table_rows(path: str, failed: bool) -> Iterator[Row]:
    """Yield the rows of a table; raises Unreadable."""
    kinds = outcomes.FAILED if failed else outcomes.COMPLETION
    made = _failed if failed else _completed
    try:
        for names, columns in _parquet(path) if path.endswith(".parquet") else _csv(path):
            at = len(names) - len(kinds)
            if at < 0 or not all(map(outcomes.is_own, names[at:], kinds)):
                raise Unreadable(f"{path} does not have the columns that a job writes")
            for values in zip(*columns, strict=True):
                ours = dict(zip(kinds, values[at:], strict=True))
                given = _given(dict(zip(names[:at], values, strict=False)), ours[outcomes.REST])
                yield Row(str(ours["id"]), exact_json.dumps(made(ours) | {"input": given}).encode())
    except (pa.ArrowException, ValueError, UnicodeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Unreadable(
            f"{path} is damaged ({reason}); run the job again to write it anew"
        ) from None


def _given(row: dict[str, Any], rest: Any) -> Any:
    """Return the input row; `rest` is what the columns do not hold."""
    if isinstance(rest, dict):
        return row | rest
    return row if rest is None else rest


def _completed(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return our columns in the form of `transforms.serialization.completion_row`."""
    completion = ours["completion"] or {}
    times = ("ttft", "inter_chunk_p50", "inter_chunk_p95", "seconds", "ended_at")
    return {
        **{name: ours[name] for name in ("id", "text", "finish_reason", "truncated", "shared")},
        "usage": completion.get("usage"),
        **_waste(ours),
        "timing": {name: ours[name] for name in times},
        "attempts": ours["attempts"],
        **dict.fromkeys(("error_type", "message", "status_code", "retryable")),
        "completion": completion,
    }


def _failed(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return our columns in the form of `transforms.serialization.failed_row`."""
    names = "id error_type message status_code retryable attempts partial_text".split()
    untimed = dict.fromkeys(("ttft", "inter_chunk_p50", "inter_chunk_p95"))
    return {
        **{name: ours[name] for name in names},
        "usage": _usage(ours),
        **_waste(ours),
        "timing": {**untimed, "seconds": ours["seconds"], "ended_at": ours["ended_at"]},
    }


def _usage(ours: Mapping[str, Any]) -> dict[str, Any] | None:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = {name: ours[name] for name in names if ours[name] is not None}
    for name, detail, of in (
        ("cached_tokens", "cached_tokens", "prompt_tokens_details"),
        ("reasoning_tokens", "reasoning_tokens", "completion_tokens_details"),
    ):
        if ours[name] is not None:
            counts[of] = {detail: ours[name]}
    return counts or None


def _waste(ours: Mapping[str, Any]) -> dict[str, Any]:
    names = ("cost_usd", "wasted_tokens", "wasted_cost_usd", "waste_estimated")
    return {name: ours[name] for name in names}


def _opened(path: str) -> Any:
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.open(path)


def _parquet(path: str) -> Iterator[tuple[list[str], list[list[Any]]]]:
    import pyarrow.parquet

    with _opened(path) as file:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(_BATCH_ROWS):
            yield batch.schema.names, [*map(_values, batch.schema, batch.columns)]


def _values(field: pa.Field, array: pa.Array) -> list[Any]:
    if outcomes.is_own(field.name, "ended_at") and field.type == pa.timestamp("us", "UTC"):
        micros = array.cast(pa.int64()).to_pylist()
        return [None if each is None else each / 1e6 for each in micros]
    values = form_of(field.type, True).values(array)
    return [_parsed(value) for value in values] if is_json(field) else list(values)


def _parsed(text: Any) -> Any:
    try:
        return exact_json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _csv(path: str) -> Iterator[tuple[list[str], list[list[Any]]]]:
    from pyarrow import csv as arrow

    names = _header(path)
    raw = names[-1].endswith(outcomes.RAW_REST)
    undone: Callable[[str], str] = _as_is if raw else original
    shown = [undone(name) for name in names]
    if raw:
        shown[-1] = shown[-1].removesuffix(outcomes.RAW_REST) + outcomes.REST
    kinds = _kinds(shown)
    options = arrow.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    with (
        _opened(path) as file,
        arrow.open_csv(
            file,
            arrow.ReadOptions(block_size=_CSV_BLOCK),
            arrow.ParseOptions(newlines_in_values=True),
            options,
        ) as reader,
    ):
        for batch in reader:
            columns = [
                [None if text is None else _cell(undone(text), kind) for text in column.to_pylist()]
                for column, kind in zip(batch.columns, kinds, strict=True)
            ]
            yield shown, columns


def _kinds(names: Sequence[str]) -> list[str]:
    """Return the types of the columns: "string" for those of the input, which only texts keep."""
    for kinds in (outcomes.COMPLETION, outcomes.FAILED):
        at = len(names) - len(kinds)
        if at >= 0 and all(map(outcomes.is_own, names[at:], kinds)):
            return ["string"] * at + list(kinds.values())
    return ["string"] * len(names)


def _cell(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    if kind == "timestamp":
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    return _parsed(text)


def _as_is(text: str) -> str:
    return text


def _header(path: str) -> list[str]:
    """Return the names of the columns, which may have newlines."""
    with _opened(path) as file:
        lines = (line.decode() for line in file)
        return next(csv.reader(lines), [""])
