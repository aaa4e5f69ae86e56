"""The lines of OpenAI's batches: an output file for completions, an error file for failed rows.

A failed row also has `error_type`, `message` and `input`, its original row, because an error file
of OpenAI names the request and does not contain it. So failed rows are valid input again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, BinaryIO

import orjson

from pipelines.outputs.formats.base import Lines
from transforms.elements import Completion, DeadLetter, Delta, Record
from transforms.serialization import to_row


class BatchLines:
    """Rows as the lines of OpenAI's output and error files. See `RowFormat`."""

    suffix = ".jsonl"
    mime_type = "text/plain"
    step = "ToJson"

    def encode(self, row: Completion | DeadLetter | Delta | Record) -> bytes:
        """Return the line of a completion or a failed row."""
        found = to_row(row)
        line = _failed(found) if isinstance(row, DeadLetter) else _completed(found)
        return orjson.dumps({"id": _id(row.id), "custom_id": row.id, **line})

    def open(self, file: BinaryIO) -> Lines:
        """Return the writer of a new file."""
        return Lines(file)


def _id(row_id: str) -> str:
    """Return a name of the request that is the same in each run."""
    return f"batch_req_{sha256(row_id.encode()).hexdigest()[:32]}"


def _response(row_id: str, status_code: int, body: Any) -> dict[str, Any]:
    """Return a response. The client has no id of the request, so it is made of the row's."""
    return {"status_code": status_code, "request_id": _id(row_id)[6:], "body": body}


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    return {"response": _response(row["id"], 200, row["completion"]), "error": None}


def _failed(row: dict[str, Any]) -> dict[str, Any]:
    message = row["message"]
    again = {"error_type": row["error_type"], "message": message, "input": row["input"]}
    if row["status_code"] is None:  # nothing was sent, or nothing came back
        return {"response": None, "error": {"code": row["error_type"], "message": message}, **again}
    error = {"message": message, "type": row["error_type"], "param": None, "code": None}
    body = {"error": error}
    return {"response": _response(row["id"], row["status_code"], body), "error": None, **again}
