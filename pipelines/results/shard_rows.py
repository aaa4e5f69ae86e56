"""The rows of one shard, checked against what the manifest says of it.

A finished shard never changes. So a shard that is missing, a link, of another size, torn or with
another checksum is an error that names it, and not a job with fewer rows.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from pipelines.filesystem import is_local
from pipelines.results.errors import Unreadable
from pipelines.results.folder import Shard
from pipelines.results.row import Row

_BLOCK_BYTES = 1 << 20
_REMEDY = "run the job again to write it anew; the journal has its completions"


class Missing(Unreadable):
    """The shard at `path` is not there; a job that has just ended may have removed it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is in the manifest and is missing; {_REMEDY}")
        self.path = path


def rows_of(shard: Shard, failed: bool) -> Iterator[Row]:
    """Yield the rows of `shard`; raises Unreadable."""
    if shard.path.endswith((".parquet", ".csv")):
        from pipelines.results.table_rows import table_rows

        _check_sum(shard)
        found = table_rows(shard.path, failed)
    else:
        found = _lines(shard)
    count = 0
    for row in found:
        count += 1
        yield row
    if shard.rows is not None and count != shard.rows:
        raise Unreadable(
            f"{shard.path} has {count:,} rows, but the manifest lists {shard.rows:,}; {_REMEDY}"
        )


def _lines(shard: Shard) -> Iterator[Row]:
    with opened(shard) as file:
        rest, check = b"", hashlib.sha256()
        while block := file.read(_BLOCK_BYTES):
            check.update(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield _row(line, shard.path)
    if rest:
        raise Unreadable(f"{shard.path} ends in the middle of a row; {_REMEDY}")
    _compare(shard, check.hexdigest())


def _check_sum(shard: Shard) -> None:
    """Raise Unreadable for a shard with another checksum; a table is read in another order."""
    with opened(shard) as file:
        check = hashlib.sha256()
        while shard.sha256 is not None and (block := file.read(_BLOCK_BYTES)):
            check.update(block)
    _compare(shard, check.hexdigest())


def _compare(shard: Shard, checksum: str) -> None:
    if shard.sha256 is not None and checksum != shard.sha256:
        raise Unreadable(f"{shard.path} has another checksum than in the manifest; {_REMEDY}")


def _row(line: bytes, path: str) -> Row:
    try:
        fields = orjson.loads(line)
        if "response" in fields and "custom_id" in fields:
            return _of_batch(fields)
        return Row(str(fields["id"]), line)
    except (ValueError, KeyError, TypeError):
        shown = line[:60].decode("utf-8", "backslashreplace")
        raise Unreadable(
            f"{path} has a line that is not a row of a job: {shown!r}; {_REMEDY}"
        ) from None


def _of_batch(fields: dict[str, Any]) -> Row:
    """Return the row of a line of OpenAI's batches, which has less than other formats have."""
    id = str(fields["custom_id"])
    if fields.get("error_type") is not None:
        kept = {name: fields.get(name) for name in ("error_type", "message", "input")}
        return Row(id, orjson.dumps({"id": id, **kept}))
    completion = fields["response"]["body"]
    choice = (completion.get("choices") or [{}])[0]
    row = {
        "id": id,
        "text": (choice.get("message") or {}).get("content") or "",
        "finish_reason": choice.get("finish_reason"),
        "truncated": choice.get("finish_reason") == "length",
        "usage": completion.get("usage"),
        "completion": completion,
        "input": None,
    }
    return Row(id, orjson.dumps(row))


def opened(shard: Shard) -> BinaryIO:
    """Open a shard of the size in the manifest; raises Unreadable."""
    if not is_local(shard.path):
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        try:
            remote: BinaryIO = FileSystems.open(
                shard.path, compression_type=CompressionTypes.UNCOMPRESSED
            )
            return remote
        except Exception as error:
            if not FileSystems.exists(shard.path):
                raise Missing(shard.path) from None
            raise Unreadable(f"cannot read {shard.path}: {' '.join(str(error).split())}") from None
    _check_size(shard)
    return open(shard.path, "rb")


def _check_size(shard: Shard) -> None:
    """Raise Unreadable unless a local shard is a file of the size in the manifest."""
    if not is_local(shard.path):
        return
    try:
        status = os.lstat(shard.path)
    except FileNotFoundError:
        raise Missing(shard.path) from None
    except OSError as error:
        raise Unreadable(f"cannot read {shard.path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "not a file"
        raise Unreadable(f"{shard.path} is {kind}, but a job writes files; {_REMEDY}")
    if shard.bytes is not None and status.st_size != shard.bytes:
        raise Unreadable(
            f"{shard.path} has {status.st_size:,} bytes, but the manifest lists {shard.bytes:,};"
            f" {_REMEDY}"
        )
    if not os.access(shard.path, os.R_OK):
        raise Unreadable(f"cannot read {shard.path}: Permission denied")
