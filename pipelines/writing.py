"""Outcomes as lines of JSON files; each row carries the row that it came from."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import orjson
from apache_beam.io import WriteToText
from apache_beam.io.filesystems import FileSystems

from transforms.elements import Completion, DeadLetter, Delta


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
        "usage": completion.get("usage"),
        "timing": {
            "ttft": row.ttft,
            "inter_chunk_p50": row.inter_chunk_p50,
            "inter_chunk_p95": row.inter_chunk_p95,
            "seconds": row.seconds,
            "ended_at": row.ended_at,
        },
        "attempts": row.attempts,
        "completion": completion,
        "input": _loads(row.input),
    }


def failed_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as it is written; it can be given back as input."""
    return {
        "id": letter.id,
        "error_type": letter.error_type,
        "message": letter.message,
        "status_code": letter.status_code,
        "retryable": letter.retryable,
        "attempts": letter.attempts,
        "partial_text": letter.partial_text,
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
