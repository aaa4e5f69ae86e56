"""Finds the records in the completions of a job: rows of their own, beside the completions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam

from ritellm.structured.paths import JsonPath, parse_path
from transforms.elements import Completion, Record
from transforms.records.completions import records_in


class FindRecords(beam.PTransform):  # type: ignore[misc]
    """`Completion -> Record`: the parts of each JSON answer that `path` names, with its input.

    A completion whose JSON has a fault or does not end has a last record without a value, which is
    not valid and has a message.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = parse_path(path)

    def expand(self, completions: Any) -> Any:
        """Find the records."""
        return completions | beam.FlatMap(_found, self._path).with_output_types(Record)


def _found(completion: Completion, path: JsonPath) -> Iterable[Record]:
    return records_in(completion, path)
