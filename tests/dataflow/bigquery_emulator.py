"""BigQuery on loopback: bqemulator, with DuckDB's extensions from where pip put them.

    python bigquery_emulator.py REST_PORT GRPC_PORT BUCKETS STORAGE

Loads read the files of the storage emulator in the folder BUCKETS. What it exports it would write
there, past that emulator, and under the name with the `*` in it: it is stored at STORAGE instead.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import duckdb_extensions
from bqemulator import cli
from bqemulator.jobs import executor


def exporting_to(storage: str, buckets: Path) -> Any:
    """Return what replaces the emulator's writer of exports."""
    write = executor._copy_relation_to_file

    def export(sql: str, path: str, *rest: Any) -> None:
        bucket, _, name = Path(path).relative_to(buckets).as_posix().partition("/")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            write(sql, str(file), *rest)
            name = quote(name.replace("*", "0" * 12), safe="")
            place = f"{storage}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
            headers = {"content-type": "application/octet-stream"}
            urlopen(Request(place, file.read_bytes(), headers)).close()

    return export


def main() -> None:
    """Serve until it is stopped."""
    rest, grpc, buckets, storage = sys.argv[1:]
    for extension in ("spatial", "avro"):
        duckdb_extensions.import_extension(extension)
    os.environ["BQEMU_GCS_LOCAL_ROOT"] = buckets
    executor._copy_relation_to_file = exporting_to(storage, Path(buckets))
    sys.argv = ["bqemulator", "start", f"--rest-port={rest}", f"--grpc-port={grpc}"]
    cli.main()


if __name__ == "__main__":
    main()
