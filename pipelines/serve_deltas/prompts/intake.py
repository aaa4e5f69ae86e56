"""Which bodies are prompts: JSON objects that the job would take from its source. Imports Beam."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.inputs.rows import read
from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.ids import MOST_ID, is_id
from pipelines.sources.base import Message
from transforms import exact_json
from transforms.elements import DeadLetter

# The largest body, in bytes: the largest message of stream_complete, without flags.
MOST_BYTES = 1 << 20
# The most that the response repeats of a reason, in characters.
_MOST_REASON = 300


@dataclass(frozen=True)
class Asked:
    """A prompt: its id, its row as JSON, and a digest of what it asks.

    `is_named` says that its sender has given the id.
    """

    id: str
    row: bytes
    digest: str
    is_named: bool


def asked(body: bytes, rows: RowForm = PLAIN) -> Asked:
    """Return the prompt in `body`. Raises Refused, with the reason.

    A row without an id gets a random one.
    """
    made = uuid4().hex
    row = _object(body, rows)
    column = _id_column(row, rows)
    is_named = column in row
    sent = body if is_named else exact_json.dumps({column: made, **row}).encode()
    # What it lacks is said of the row that its sender knows.
    known = body if rows.id_column is None else sent
    found = read(Message(known, made, "the prompt"), rows=rows).row
    if isinstance(found, DeadLetter):
        raise Refused(400, found.message[:_MOST_REASON])
    if (is_named and found.id == made) or not is_id(found.id):
        raise Refused(
            400, f"{column!r} must be a printable text of 1 to {MOST_ID} characters, or an integer"
        )
    return Asked(found.id, sent, _digest(row), is_named)


def _digest(row: dict[str, Any]) -> str:
    """Return what is equal for equal rows, whatever the order of their columns."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _object(body: bytes, rows: RowForm) -> dict[str, Any]:
    try:
        text = body.decode()
        row = exact_json.loads(text, exact_json.has_large_integer(text))
    except (ValueError, RecursionError):
        raise Refused(400, "the body must be JSON in UTF-8, an object with a prompt") from None
    if not isinstance(row, dict):
        raise Refused(400, 'the body must be a JSON object, such as {"prompt": "Why?"}')
    if rows.is_failed(row):
        raise Refused(400, "the body must be a row, not a failed row of a job")
    return row


def _id_column(row: dict[str, Any], rows: RowForm) -> str:
    """Return the column that has the id of the row, or gets one."""
    if rows.id_column is not None:
        return rows.id_column
    return "custom_id" if "custom_id" in row and "id" not in row else "id"
