"""Measures the formats of files: `python -m benchmarks.jobs.formats [ROWS]`.

- The CPU time per row of each format, from the file to the JSON text that a row carries.
- The time and memory of a job that reads 1,000,000 rows of CSV, renders a template of each, and
  finds repeated ids, without a model, on one core.
- The memory of a process that reads Parquet files of one large row group each.

The goals: 30 us per row for CSV and Parquet, 40 s for the job, 250 MB whatever the file.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

_ROWS = 100_000
_NAMES = ("id", "title", "text", "lang", "score")
_TEMPLATE = "Translate {{ title }} from {{ lang }}: {{ text }}"


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return rows as of a table of articles: 200 characters, some of them in need of quotes."""
    draw = random.Random(seed)
    words = 'the of "quoted" café, a\nline table answers models 2024 data'.split(" ")
    return [
        {
            "id": f"row-{n}",
            "title": " ".join(draw.choices(words, k=4)),
            "text": " ".join(draw.choices(words, k=24)),
            "lang": draw.choice(("en", "de", "")),
            "score": draw.random(),
        }
        for n in range(count)
    ]


def write(folder: Path, count: int) -> dict[str, Path]:
    """Write the same rows in each format, and return the paths by format."""
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    made = rows(count)
    paths = {name: folder / f"rows.{name}" for name in ("jsonl", "json", "csv", "parquet", "arrow")}
    paths["jsonl"].write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in made))
    paths["json"].write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2))
    with paths["csv"].open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _NAMES)
        writer.writeheader()
        writer.writerows(made)
    table = pa.Table.from_pylist(made)
    pq.write_table(table, paths["parquet"])
    with pa.OSFile(str(paths["arrow"]), "wb") as out, pa.ipc.new_stream(out, table.schema) as to:
        to.write_table(table, max_chunksize=10_000)
    return paths


def per_row(count: int = _ROWS) -> Mapping[str, float]:
    """Return the microseconds of CPU time per row, by format."""
    from pipelines.inputs.file_rows import lines_of
    from pipelines.inputs.options import InputOptions
    from pipelines.inputs.readers.base import DataFile

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write(Path(folder), count).items():
            started, read = time.process_time(), 0
            for _ in lines_of(DataFile(str(path), name, name), InputOptions()):
                read += 1
            assert read == count
            found[name] = (time.process_time() - started) / count * 1e6
    return found


def job(count: int) -> Mapping[str, float]:
    """Return the seconds and MB of a job that reads CSV and renders a template, on one core."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write(",".join(_NAMES) + "\n")
            for n in range(count):
                file.write(f'{n},"Title, {n}","{n} words of a text that goes on",en,{n / 7}\n')
        return _measured("_job", str(path))


def _job(path: str) -> None:
    import apache_beam as beam

    from pipelines import ReadRows
    from transforms import ToPrompts

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = pipeline | ReadRows(path)
        made.rows | ToPrompts(template=_TEMPLATE, unique_ids=False)


def large_group(count: int) -> Mapping[str, float]:
    """Return the MB of the file, of its row group, and of a process that reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.parquet"
        table = pa.Table.from_pylist(rows(10_000))
        texts = pa.array([os.urandom(300).hex() for _ in range(10_000)])
        parts = [table.append_column("noise", texts)] * (count // 10_000)
        pq.write_table(pa.concat_tables(parts), path, row_group_size=count, compression="zstd")
        group = pq.read_metadata(path).row_group(0).total_byte_size
        sizes = {"file_mb": path.stat().st_size / 1e6, "group_mb": group / 1e6}
        return {**sizes, **_measured("_read", str(path))}


def _read(path: str) -> None:
    from pipelines.inputs.file_rows import lines_of
    from pipelines.inputs.options import InputOptions
    from pipelines.inputs.readers.base import DataFile

    for _ in lines_of(DataFile(path, path, path), InputOptions()):
        pass


def _measured(function: str, path: str) -> Mapping[str, float]:
    """Return the seconds and MB of a function of this module in a process of its own."""
    code = f"from benchmarks.jobs import formats; formats._report(formats.{function}, {path!r})"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    return dict(orjson.loads(printed.splitlines()[-1]))


def _report(function: Any, path: str) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    function(path)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux
    print(orjson.dumps({"seconds": seconds, "cpu_seconds": cpu, "mb": peak}).decode())


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for name, usec in per_row().items():
        print(f"{name} in: {usec:.1f} us of CPU time per row")
    for rows_of_group in (count // 10, count // 2):
        found = large_group(rows_of_group)
        print(
            f"Parquet, a row group of {found['group_mb']:,.0f} MB: {found['mb']:,.0f} MB in memory"
        )
    found = job(count)
    print(
        f"{count:,} rows of CSV through a template: {found['seconds']:.1f} s"
        f" ({found['cpu_seconds']:.1f} s of CPU time), {found['mb']:,.0f} MB"
    )


if __name__ == "__main__":
    main()
