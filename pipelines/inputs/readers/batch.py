"""OpenAI's files of batch requests: JSON lines of `custom_id`, `method`, `url` and `body`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.jsonl import JsonLines
from pipelines.inputs.rows import Line

_URL = "/v1/chat/completions"


class BatchRequests(JsonLines):
    """JSON lines of which each must be a request of a batch. See `FileFormat`."""

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the requests; a line that is not one has a fault."""
        for line in super().rows(file, options, columns):
            yield line if line.fault else line._replace(fault=_fault(line.text))


def _fault(text: str) -> str:
    """Return why the line is not a request of a batch, or ""."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""  # `rows.read` says what is wrong with it
    if not isinstance(row, dict):
        return ""
    if "error_type" in row and "input" in row:
        return ""  # a failed row of this program, with a request inside
    return next(_wrong(row), "")


def _wrong(row: dict[str, Any]) -> Iterator[str]:
    id = row.get("custom_id")
    if not isinstance(id, str) or not id:
        yield f"'custom_id' of a batch request must be a text, got {id!r:.80}"
    if not isinstance(row.get("body"), dict):
        yield f"'body' of a batch request must be an object, got {row.get('body')!r:.80}"
    if (url := row.get("url", _URL)) != _URL:
        yield f"'url' of a batch request must be {_URL}, got {url!r:.80}"
    if (method := row.get("method", "POST")) != "POST":
        yield f"'method' of a batch request must be POST, got {method!r:.80}"
