"""Measures the formats of files: `python -m benchmarks.jobs.formats [--rows N] [FIGURE ...]`.

- `rows`: the CPU time per row of each format, from the file to the JSON text that a row carries.
- `memory`: the memory of a process that reads Parquet files of one large row group each.
- `render`: the time and memory of a pipeline that reads CSV and renders a template of each row.
- `prompts`: the same in the first half of a batch job, which also finds repeated ids.

The goals: 30 us per row for CSV and Parquet; 250 MB whatever the file; 40 s for 1,000,000
rows of CSV, parsed and rendered without a model, on one core.
`benchmarks.jobs.output_formats` measures the other direction.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

FIGURES = ("rows", "memory", "render", "prompts")
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


def job(count: int, function: str) -> Mapping[str, float]:
    """Return the seconds and MB of `_render` or `_prompts` on CSV with `count` rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write(",".join(_NAMES) + "\n")
            for n in range(count):
                file.write(f'{n},"Title, {n}","{n} words of a text that goes on",en,{n / 7}\n')
        return _measured(function, str(path))


def _render(path: str) -> None:
    import apache_beam as beam

    from pipelines import ReadRows
    from transforms import ToPrompts

    _tune()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadRows(path)
        read.rows | ToPrompts(template=_TEMPLATE, id="id", unique_ids=False)


def _prompts(path: str) -> None:
    import apache_beam as beam

    from pipelines.inputs.options import InputOptions
    from pipelines.inputs.prompts import ReadPrompts
    from pipelines.inputs.row_form import RowForm
    from transforms.prompts.form import Form
    from transforms.prompts.template import Template

    form = RowForm(Form(template=Template(_TEMPLATE)))
    _tune()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | ReadPrompts([path], False, InputOptions(), form)


def _tune() -> None:
    """Let the garbage collector run as often as in a job with a model."""
    from transforms.worker.loop.event_loop import tune_interpreter

    tune_interpreter()


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
    logging.disable(logging.WARNING)
    started, cpu = time.perf_counter(), time.process_time()
    function(path)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"seconds": seconds, "cpu_seconds": cpu, "mb": _peak_mb()}).decode())


def _peak_mb() -> float:
    """Return the peak memory of this process on Linux; getrusage has that of its parent, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def figures(count: int, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what was measured and the result, for each of the figures `names`."""
    if "rows" in names:
        found = ", ".join(f"{name} {usec:.1f}" for name, usec in per_row().items())
        yield "a row of 200 characters from a file to JSON", f"us of CPU: {found}"
    if "memory" in names:
        sizes = [large_group(rows) for rows in (count // 10, count)]
        found = ", ".join(f"{each['mb']:.0f} MB for {each['group_mb']:,.0f} MB" for each in sizes)
        yield "a process that reads a Parquet file of one row group", found
    for name, more in {"render": "", "prompts": ", repeated ids found"}.items():
        if name in names:
            seen = job(count, f"_{name}")
            seconds = f"{seen['seconds']:.1f} s ({seen['cpu_seconds']:.1f} s of CPU)"
            what = f"{count:,} rows of CSV, parsed and rendered without a model{more}"
            yield what, f"{seconds}, {seen['mb']:.0f} MB"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"some of {' '.join(FIGURES)}")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for what, found in figures(arguments.rows, arguments.figures or FIGURES):
        print(f"{what}: {found}", flush=True)


if __name__ == "__main__":
    main()
