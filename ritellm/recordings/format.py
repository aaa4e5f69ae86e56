"""The format of recordings: a call as JSON lines, without its keys, and back. Pure.

Each attempt has a line of kind "request", one of kind "response" if there was one, one of kind
"data" for each piece of the body, and one of kind "end". Times are seconds: `at` counts from the
first attempt, `offset` from this attempt.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ritellm import errors
from ritellm.endpoints import Endpoint, Take, Tape
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.masking import REMOVED, Masker, masked_url
from ritellm.recordings.shape import check_line
from ritellm.types import HttpRequest, Request

# Headers are removed, except those known to be harmless.
_HEADERS = frozenset(
    "accept accept-encoding anthropic-beta anthropic-version content-type user-agent".split()
)
# Response headers that may identify the caller.
_NOT_RECORDED = frozenset(
    "anthropic-organization-id openai-organization openai-project set-cookie".split()
)


def masker(endpoint: Endpoint, request: Request) -> Masker:
    """Return what removes the keys of `endpoint` and the caller's own headers."""
    words = [endpoint.key or "", *endpoint.secrets]
    for value in request.extra_headers.values():
        words += [value, *value.split()]
    return Masker(words, REMOVED)


def request_line(
    endpoint: Endpoint, request: Request, sent: HttpRequest, on_interrupt: str, mask: Masker
) -> dict[str, Any]:
    """Return the line with the request as sent, its provider and its dialect."""
    return {
        "kind": "request",
        "version": 1,
        "provider": endpoint.provider.name,
        "model": mask.text(request.model),
        "wire": endpoint.wire or endpoint.provider.wire,
        "base_url": mask.text(masked_url(endpoint.base_url)),
        "on_interrupt": on_interrupt,
        "method": sent.method,
        "url": mask.text(masked_url(sent.url)),
        "headers": {k: _header(k, v, mask) for k, v in sent.headers.items()},
        "body": mask.text(sent.content.decode("utf-8", "replace")),
    }


def response_line(status: int, headers: Iterable[tuple[str, str]], mask: Masker) -> dict[str, Any]:
    """Return the line of a response's head."""
    kept = [(k, mask.text(v)) for k, v in headers if k.lower() not in _NOT_RECORDED]
    return {"kind": "response", "status": status, "headers": kept}


def data_line(data: bytes) -> dict[str, Any]:
    """Return the line of a piece of the body: as text if it is UTF-8."""
    try:
        return {"kind": "data", "text": data.decode()}
    except UnicodeDecodeError:
        return {"kind": "data", "base64": b64encode(data).decode()}


def end_line(how: str, error: RitellmError | None, mask: Masker) -> dict[str, Any]:
    """Return the last line; `how` is "end" of the body, "closed" by us, or "error"."""
    line: dict[str, Any] = {"kind": "end", "how": how}
    if error is not None:
        line["error"] = {
            "type": type(error).__name__,
            "message": mask.text(error.message),
            **{name: getattr(error, name) for name in _ERROR_FIELDS},
            "code": mask.text(error.code) if isinstance(error.code, str) else error.code,
        }
    return line


_ERROR_FIELDS = ("code", "status_code", "retryable", "retry_after")


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call of a recording: its provider and its attempts."""

    provider: str
    model: str
    wire: str
    base_url: str
    on_interrupt: str
    tape: Tape


def read_call(lines: Iterable[bytes], number: int = 1, timed: bool = False) -> RecordedCall:
    """Return call `number` (from 1) of a recording; raises InvalidRequestError."""
    calls: dict[str, dict[int, list[dict[str, Any]]]] = {}
    kept = [(at, line) for at, line in enumerate(lines, 1) if line.strip()]
    for at, line in kept:
        entry = _entry(line, at, is_last=at == kept[-1][0])
        if entry is None:
            continue
        check_line(entry, at)
        calls.setdefault(entry["call"], {}).setdefault(entry["attempt"], []).append(entry)
    if not 1 <= number <= len(calls):
        raise InvalidRequestError(
            f"the number of the call must be 1 to {len(calls)}, got {number}"
            if calls
            else "the recording must have a call: the file is empty"
        )
    attempts = list(list(calls.values())[number - 1].values())
    first = attempts[0][0]
    if first["kind"] != "request":
        raise InvalidRequestError("the file must be a recording: its first line has no request")
    takes = [_take(entries) for entries in attempts]
    tape = Tape(takes, timed, _delays(attempts, takes))
    return RecordedCall(
        provider=first["provider"],
        model=first["model"],
        wire=first["wire"],
        base_url=first["base_url"],
        on_interrupt=first["on_interrupt"],
        tape=tape,
    )


# The beginning of each line that the recorder writes; a text cannot contain it, but escaped.
_BEGIN = b'{"call":'


def _entry(line: bytes, at: int, is_last: bool) -> Any:
    """Return the JSON of line `at`, or None if a full disk has cut off the last line.

    A later call may have been written behind a line that was cut off.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        behind = line.rfind(_BEGIN)
    if behind > 0 and line.startswith(_BEGIN):
        return _entry(line[behind:], at, is_last)
    if behind == 0 and is_last:
        return None
    raise InvalidRequestError(f"line {at} must be a line of a recording (JSON), got {line[:80]!r}")


def _take(entries: Sequence[Mapping[str, Any]]) -> Take:
    by_kind = {entry["kind"]: entry for entry in entries}
    head, end = by_kind.get("response", {}), by_kind.get("end", {})
    data = [(entry["offset"], _data(entry)) for entry in entries if entry["kind"] == "data"]
    return Take(
        status=head.get("status"),
        headers=[(name, value) for name, value in head.get("headers", ())],
        data=data,
        error=_error(end.get("error"), has_response=bool(head)),
        responded=head.get("offset", end.get("offset", 0.0)),
        ended=end.get("offset", 0.0),
    )


def _delays(attempts: Sequence[Sequence[Mapping[str, Any]]], takes: Sequence[Take]) -> list[float]:
    starts = [entries[0].get("at", 0.0) for entries in attempts]
    ends = [start + take.ended for start, take in zip(starts, takes, strict=True)]
    return [max(0.0, start - end) for start, end in zip(starts[1:], ends, strict=False)]


def _data(entry: Mapping[str, Any]) -> bytes:
    return entry["text"].encode() if "text" in entry else b64decode(entry["base64"])


def _error(fields: Mapping[str, Any] | None, has_response: bool) -> RitellmError | None:
    if fields is None:
        # The recording itself is cut short, by a process that was killed.
        return None if has_response else errors.APIConnectionError("the recording ends here")
    named = getattr(errors, fields["type"], None)
    is_ours = isinstance(named, type) and issubclass(named, RitellmError)
    cls: Any = named if is_ours else errors.APIError
    known: Any = {name: fields.get(name) for name in _ERROR_FIELDS}
    error: RitellmError = cls(fields["message"], **known)
    return error


def _header(name: str, value: str, mask: Masker) -> str:
    return mask.text(value) if name.lower() in _HEADERS else REMOVED
