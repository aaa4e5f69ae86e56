"""A row as the page shows it: some of its fields, with its texts cut. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pipelines.pages.options import TextMode
from ritellm.errors import ABOUT_VALUES
from transforms.elements import Completion, DeadLetter

_LONGEST_ID = 200
_HALF_PAIR = re.compile("[\ud800-\udfff]")
# The most characters of a prompt, of an answer and of a message, by what the user wants to see.
_LENGTHS: Mapping[TextMode, tuple[int, int, int]] = {
    "none": (0, 0, 0),
    "sample": (2_000, 4_000, 500),
    "all": (100_000, 100_000, 10_000),
}


def shown(row: Completion | DeadLetter, mode: TextMode) -> bytes:
    """Return the fields of `row` that the page shows, as JSON without empty ones."""
    prompt_size, answer_size, message_size = _LENGTHS[mode]
    fields: dict[str, Any] = {
        "attempts": row.attempts,
        "seconds": row.seconds,
        "cost": row.cost_usd,
        "ended": row.ended_at,
    }
    if mode != "none":
        fields |= {
            "id": _cut(row.id, _LONGEST_ID),
            "place": _cut(row.place or "", _LONGEST_ID),
            "prompt": _cut(_or_empty(prompt_text, row), prompt_size),
        }
    if isinstance(row, Completion):
        fields |= {
            "state": "journal" if row.replayed else "shared" if row.shared else "completed",
            "reason": _cut(str(row.finish_reason), 100),
            "model": _cut(row.model or "", 100),
            "in": row.prompt_tokens,
            "out": row.completion_tokens,
            "ttft": row.ttft,
            "answer": _cut(row.text or "", answer_size),
        }
    else:
        fields |= {
            "state": "failed",
            "reason": _cut(row.error_type, 100),
            "status": row.status_code,
            "message": _cut(row.message or "", message_size),
            "answer": _cut(row.partial_text or "", answer_size),
        }
    return orjson.dumps({k: v for k, v in fields.items() if v not in (None, "")})


def prompt_text(row: Completion | DeadLetter) -> str:
    """Return the text of the prompt of `row`; its whole input if that has no prompt.

    May raise: a row may hold anything.
    """
    source = orjson.loads(row.input) if row.input else {}
    if not isinstance(source, dict):
        return row.input or ""
    prompt = source.get("prompt")
    body = source.get("body")
    messages = source.get("messages") or (body.get("messages") if isinstance(body, dict) else None)
    if not messages and isinstance(prompt, str):
        return prompt
    if not messages and not source and isinstance(row, DeadLetter):
        messages = orjson.loads(row.request).get("messages")
    if messages:
        return "\n\n".join(filter(None, map(_message_text, messages)))
    return row.input or ""


def _message_text(message: Any) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    text = "\n".join(
        str(part.get("text") or f"[{part.get('type')}]") for part in parts if part.get("text") != ""
    )
    return text if message.get("role") == "user" else f"[{message.get('role')}] {text}"


def _or_empty(text: Callable[[Any], str], row: Completion | DeadLetter) -> str:
    try:
        return text(row)
    except ABOUT_VALUES:
        return row.input or ""


def _cut(text: str, size: int) -> str:
    """Return the first `size` characters of `text`, without halves of surrogate pairs."""
    cut = text if len(text) <= size else text[: max(0, size - 1)] + "…" if size else ""
    return cut if cut.isascii() else _HALF_PAIR.sub("\ufffd", cut)
