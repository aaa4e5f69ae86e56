"""The formats of input that the batch program reads, one row for each."""

from __future__ import annotations

from pipelines.inputs.base import InputFormat
from pipelines.inputs.bigquery import BigQueryRows
from pipelines.inputs.jsonl import JsonLines

# The first format that matches reads the input. JSON lines come last, because they match every
# location: files of JSON lines have any suffix.
FORMATS: tuple[InputFormat, ...] = (BigQueryRows(), JsonLines())


def format_of(location: str) -> InputFormat:
    """Return the format of the input at `location`."""
    return next(each for each in FORMATS if each.match(location))
