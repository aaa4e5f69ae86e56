"""Outcomes as lines of JSON files; each row carries the row that it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.io import WriteToText
from apache_beam.io.filesystems import FileSystems

from transforms.elements import Completion, DeadLetter, Delta


def write_whole(path: str, pieces: Iterable[bytes], mime_type: str) -> None:
    """Write a file that appears when it is whole, and replaces the one of an earlier run."""
    unfinished = f"{path}.unfinished"
    with FileSystems.create(unfinished, mime_type) as file:
        for piece in pieces:
            file.write(piece)
    if "://" not in path:
        os.replace(unfinished, path)
        return
    if FileSystems.exists(path):  # elsewhere a rename replaces nothing
        FileSystems.delete([path])
    FileSystems.rename([unfinished], [path])


class WriteLines(beam.PTransform):  # type: ignore[misc]
    """Write elements to `folder/name-*.jsonl`, one line each. Readers never see half a file."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        self._prefix = FileSystems.join(folder, name)

    def expand(self, elements: Any) -> Any:
        """Render and write."""
        return (
            elements
            | "ToJson" >> beam.Map(to_json).with_output_types(str)
            | "Write" >> WriteToText(self._prefix, file_name_suffix=".jsonl", skip_if_empty=True)
        )


def to_json(element: Completion | DeadLetter | Delta) -> str:
    """Return the line for one element."""
    if isinstance(element, Completion):
        row = completion_row(element)
    elif isinstance(element, DeadLetter):
        row = failed_row(element)
    else:
        row = delta_row(element)
    return orjson.dumps(row).decode()


def completion_row(row: Completion) -> dict[str, Any]:
    """Return a completion as it is written: what most readers want first."""
    completion = orjson.loads(row.completion)
    return {
        "id": row.id,
        "text": row.text,
        "finish_reason": row.finish_reason,
        "truncated": row.finish_reason == "length",
        "shared": row.shared,
        "usage": completion.get("usage"),
        "cost_usd": row.cost_usd,
        "timing": {
            "ttft": row.ttft,
            "inter_chunk_p50": row.inter_chunk_p50,
            "inter_chunk_p95": row.inter_chunk_p95,
            "seconds": row.seconds,
            "ended_at": row.ended_at,
        },
        "attempts": row.attempts,
        "error_type": None,
        "message": None,
        "status_code": None,
        "retryable": None,
        "completion": completion,
        "input": _loads(row.input),
    }


def failed_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as it is written; it can be given back as input.

    What a completion and a dead letter both have, they have under the same names.
    """
    untimed = {"ttft": None, "inter_chunk_p50": None, "inter_chunk_p95": None}
    return {
        "id": letter.id,
        "error_type": letter.error_type,
        "message": letter.message,
        "status_code": letter.status_code,
        "retryable": letter.retryable,
        "attempts": letter.attempts,
        "partial_text": letter.partial_text,
        "usage": _loads(letter.usage),
        "cost_usd": letter.cost_usd,
        "timing": {**untimed, "seconds": letter.seconds, "ended_at": letter.ended_at},
        "input": _loads(letter.input),
    }


def delta_row(delta: Delta) -> dict[str, Any]:
    """Return a delta as it is written."""
    return {
        "id": delta.id,
        "attempt": delta.attempt,
        "seq": delta.seq,
        "text": delta.text,
        "finish_reason": delta.finish_reason,
        "final": delta.final,
        "chunk": orjson.loads(delta.chunk),
    }


def _loads(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
