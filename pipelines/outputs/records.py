"""Finds the records in the completions of a job: rows of their own, beside the completions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam

from ritellm.structured.paths import JsonPath, parse_path
from transforms.elements import Completion, Record
from transforms.records.completions import records_in
from transforms.worker.records.checking import Checking


class FindRecords(beam.PTransform):  # type: ignore[misc]
    """`Completion -> Record`: the parts of each JSON answer that `path` names, with its input.

    A record that does not fit the schema of `checking` is not valid, and has a message.
    A completion whose JSON has a fault or does not end has a last record without a value, which is
    not valid and has a message.
    """

    def __init__(self, path: str, checking: Checking) -> None:
        super().__init__()
        self._path, self._checking = parse_path(path), checking

    def expand(self, completions: Any) -> Any:
        """Find the records."""
        find = beam.FlatMap(_found, self._path, self._checking)
        return completions | find.with_output_types(Record)


def _found(completion: Completion, path: JsonPath, checking: Checking) -> Iterable[Record]:
    return records_in(completion, path, checking.check)
