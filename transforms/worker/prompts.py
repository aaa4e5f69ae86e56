"""Elements as prompts: a row of any class with the columns of a prompt is one. No Beam, no HTTP.

Beam checks the types of elements when the pipeline is built, but an element of unknown type may be
anything. What is not a prompt becomes a dead letter here, before a request is paid for that Beam
could not encode the outcome of.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from ritellm.errors import InvalidRequestError
from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import HOW_TO_GET_PROMPTS
from transforms.worker.outcomes import to_dead_letter

# A dead letter has at most this many characters of an element that is not a row.
_EXCERPT = 10_000


def prompt_of(element: Any) -> Prompt | DeadLetter:
    """Return `element` as a prompt, or a dead letter that says why it is none."""
    prompt = element if type(element) is Prompt else _read(element)
    if fault := _fault(prompt):
        return _unusable(element, prompt, fault)
    return prompt


def _read(element: Any) -> Prompt:
    """Return the columns of `element` as a prompt; null for the missing ones."""
    return Prompt._make([getattr(element, name, None) for name in Prompt._fields])


def _fault(prompt: Prompt) -> str:
    """Return why `prompt` cannot be sent, or ""."""
    id, request, input, place, key = prompt
    if type(id) is str and type(request) is str and input is place is key is None:
        texts: tuple[str, ...] = (id, request)
    else:
        for name, value in prompt._asdict().items():
            if not isinstance(value, str) and (value is not None or name in ("id", "request")):
                return f"{name!r} must be a text, got {_kind(value)}"
        texts = tuple(value for value in prompt if value is not None)
    return "" if all(map(_is_unicode, texts)) else "a prompt must not have half a surrogate pair"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unusable(element: Any, prompt: Prompt, fault: str) -> DeadLetter:
    if prompt.id is None and prompt.request is None:
        wanted = "an element must be a Prompt, or a row with the columns id and request"
        fault = f"{wanted}, got {_kind(element)}"
    kept = Prompt(
        _text(prompt.id),
        _text(prompt.request),
        _json(element) if prompt.input is None else _text(prompt.input),
        None if prompt.place is None else _text(prompt.place),
    )
    return to_dead_letter(
        kept, InvalidRequestError(f"{fault}; {HOW_TO_GET_PROMPTS}"), {}, time.time()
    )


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _text(value: Any) -> str:
    """Return `value` as a text that Beam can encode; null is empty."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    return text.encode("utf-8", "backslashreplace").decode()


def _json(value: Any) -> str:
    """Return the JSON of `value`, or of its beginning as a text if it has none."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(ascii(value)[:_EXCERPT]).decode()


def _plain(value: Any) -> Any:
    """Return a row as a dict, another value as a text."""
    columns = getattr(value, "_asdict", None)
    return columns() if callable(columns) else ascii(value)[:_EXCERPT]
