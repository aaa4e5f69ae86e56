"""The formats of files by name, and the choice of one for a file."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.inputs.compression import opened, without_suffix
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.arrow import Arrow
from pipelines.inputs.readers.base import FileFormat
from pipelines.inputs.readers.batch import BatchRequests
from pipelines.inputs.readers.delimited import Delimited
from pipelines.inputs.readers.json_values import JsonValues
from pipelines.inputs.readers.jsonl import JsonLines
from pipelines.inputs.readers.parquet import Parquet
from pipelines.inputs.readers.plain_text import Documents, TextLines

FORMATS: Mapping[str, FileFormat] = {
    "jsonl": JsonLines(),
    "json": JsonValues(),
    "csv": Delimited(","),
    "tsv": Delimited("\t"),
    "parquet": Parquet(),
    "arrow": Arrow(),
    "text": TextLines(),
    "document": Documents(),
    "batch": BatchRequests(),
}
# The formats of files by the end of their name, without the suffix of a compression.
_SUFFIXES = {
    "jsonl": "jsonl",
    "jsonlines": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "parquet": "parquet",
    "pq": "parquet",
    "arrow": "arrow",
    "arrows": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
}


def format_name(path: str, options: InputOptions) -> str:
    """Return the name of the format of the file at `path`, in `FORMATS`.

    Its first bytes decide if neither the options nor its name do. They also tell JSON lines from
    one array, and from text, because programs write all of them under the same names.
    """
    if options.format is not None:
        return options.format
    plain = without_suffix(path).lower()
    suffix = plain.rsplit("/", 1)[-1].rpartition(".")[2]
    if (known := _SUFFIXES.get(suffix)) is not None:
        return known
    with opened(path) as file:
        head = file.read(kinds.HEAD_BYTES)
    if suffix == "txt":
        return "jsonl" if kinds.looks_like_lines(head) else "text"
    if suffix == "json":
        return "jsonl" if kinds.looks_like_lines(head) else "json"
    return _by_content(head)


def _by_content(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return "json" if kinds.looks_like_values(head) else "jsonl"
