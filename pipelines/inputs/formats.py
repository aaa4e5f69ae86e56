"""The formats of input that the batch program reads, one row for each."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.errors import UsageError
from pipelines.inputs.base import InputFormat
from pipelines.inputs.bigquery import BigQueryRows
from pipelines.inputs.jsonl import JsonLines

# The first format that matches reads the input. JSON lines come last, because they match every
# location: files of JSON lines have any suffix.
FORMATS: tuple[InputFormat, ...] = (BigQueryRows(), JsonLines())


def format_of(locations: Sequence[str]) -> InputFormat:
    """Return the format of the input at `locations`; raises UsageError if they have several."""
    found = [next(each for each in FORMATS if each.match(location)) for location in locations]
    if any(each is not found[0] for each in found):
        raise UsageError(f"--input must be files or one table, got {' '.join(locations)}")
    return found[0]
