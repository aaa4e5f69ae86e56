"""The key of a completion: the row's id, and a hash of all that can change it. Pure.

Credentials, timeouts and retries are not part of the hash: a job must not pay for a completion
again because its API key or a timeout has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from ritellm.calls.params import IGNORED, POLICY
from ritellm.errors import InvalidRequestError
from ritellm.masking import is_secret_header

# `request_timeout` stays in the hash: journals that exist already were written with it. `on_length`
# changes the completion.
_POLICY = (POLICY - {"request_timeout", "on_length"}) | {"stream"}
_CREDENTIALS = frozenset(
    "api_key aws_access_key_id aws_profile_name aws_secret_access_key aws_session_token"
    " azure_ad_token vertex_credentials".split()
)
_ADDRESS = frozenset("api_base base_url model".split())
_LEFT_OUT = _POLICY | _CREDENTIALS | _ADDRESS | IGNORED


class JournalKey(NamedTuple):
    """The key of one completion: the row's `id` and the hash of its `request`.

    For a row without an id, the `id` is its content and its number among equal rows.
    """

    id: str
    request: str


def request_hash(
    model: str, base_url: str | None, params: Mapping[str, Any], request_body: Mapping[str, Any]
) -> str:
    """Return 32 hex digits, the same for all requests that must have the same completion.

    `params` hold for the job, `request_body` for the row and overrides them, `model` included. The
    order of keys does not matter. A parameter that is not known to be irrelevant changes the hash:
    a repeated request is cheaper than a wrong completion.
    """
    return _hash(_canonical(model, base_url, params, request_body))


class TextHashes:
    """The hashes of requests that differ only in the text of their one message, a user's.

    They are those of `request_hash`, in less time: only the text is written anew.
    """

    def __init__(self, model: str, base_url: str | None, params: Mapping[str, Any]) -> None:
        mark = token_hex(16)  # a text that no parameter has
        body = {"messages": [{"role": "user", "content": mark}]}
        whole = _canonical(model, base_url, params, body)
        self._before, _, self._after = whole.partition(orjson.dumps(mark))

    def of(self, text: str) -> str:
        """Return the hash of the request of `text`."""
        return _hash(self._before + orjson.dumps(text) + self._after)


def _hash(canonical: bytes) -> str:
    return blake2b(canonical, digest_size=16, person=b"ritellm-1").hexdigest()


def _canonical(
    model: str, base_url: str | None, params: Mapping[str, Any], request_body: Mapping[str, Any]
) -> bytes:
    """Return all that decides the completion of a request, always in the same form."""
    given = {**params, **request_body}
    address = given.get("base_url") or given.get("api_base") or base_url or ""
    decisive = [given.get("model") or model, str(address).rstrip("/"), _decisive(given)]
    try:
        return orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None


def _decisive(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that can change the completion; None is the same as not given."""
    kept = {k: _same(v) for k, v in given.items() if v is not None and k not in _LEFT_OUT}
    if not kept.get("store"):
        kept.pop("metadata", None)  # it is logged, not sent: see ritellm/calls/prepare.py
    if headers := _public(kept.pop("extra_headers", {})):
        kept["extra_headers"] = headers
    return kept


def _same(value: Any) -> Any:
    """Return 1 for 1.0: a command line has only floats, a row may have integers."""
    small = isinstance(value, float) and abs(value) < 1 << 53
    return int(value) if small and value.is_integer() else value


def _public(headers: Mapping[str, Any]) -> dict[str, Any]:
    # Not those that identify the caller: after a key rotation all completions must still be found.
    named = {str(name).lower(): value for name, value in headers.items()}
    return {name: value for name, value in named.items() if not is_secret_header(name)}
