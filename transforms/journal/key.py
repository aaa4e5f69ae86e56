"""Under what a completion is kept: the row's id, and a hash of all that decides the answer. Pure.

Who asks (keys, credentials) and how stubbornly (timeouts, retries) is not part of it: a new key
or a longer timeout buys nothing that is there already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from ritellm.calls.params import IGNORED, POLICY
from ritellm.errors import InvalidRequestError

# `request_timeout` stays in the hash: journals that exist already were written with it.
_POLICY = (POLICY - {"request_timeout"}) | {"stream"}
_CREDENTIALS = frozenset(
    "api_key aws_access_key_id aws_profile_name aws_secret_access_key aws_session_token"
    " azure_ad_token vertex_credentials".split()
)
_ADDRESS = frozenset("api_base base_url model".split())
_LEFT_OUT = _POLICY | _CREDENTIALS | _ADDRESS | IGNORED

# Headers that say who is asking: a rotated key must not ask everything again.
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)


class JournalKey(NamedTuple):
    """Where one completion is kept: under the row's `id` and the hash of its `request`.

    A row without an id of its own has its content and its number among equal rows for an `id`.
    """

    id: str
    request: str


def request_hash(
    model: str, base_url: str | None, params: Mapping[str, Any], request_body: Mapping[str, Any]
) -> str:
    """Return 32 hex digits that are the same for every request that must have the same answer.

    `params` hold for the job, `request_body` for the row; the row's go first, its `model` too.
    The order of keys does not matter. Whatever is not known to be irrelevant makes a difference:
    asking again is cheaper than a wrong answer.
    """
    given = {**params, **request_body}
    address = given.get("base_url") or given.get("api_base") or base_url or ""
    question = [given.get("model") or model, str(address).rstrip("/"), _decisive(given)]
    try:
        canonical = orjson.dumps(question, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None
    return blake2b(canonical, digest_size=16, person=b"ritellm-1").hexdigest()


def _decisive(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can make a difference to the answer; None is the same as not given."""
    kept = {k: _same(v) for k, v in given.items() if v is not None and k not in _LEFT_OUT}
    if not kept.get("store"):
        kept.pop("metadata", None)  # it is noted, not sent: see ritellm/calls/prepare.py
    if headers := _public(kept.pop("extra_headers", {})):
        kept["extra_headers"] = headers
    return kept


def _same(value: Any) -> Any:
    """Return 1 for 1.0: a command line knows only floats where a row says 1."""
    small = isinstance(value, float) and abs(value) < 1 << 53
    return int(value) if small and value.is_integer() else value


def _public(headers: Mapping[str, Any]) -> dict[str, Any]:
    named = {str(name).lower(): value for name, value in headers.items()}
    return {name: value for name, value in named.items() if not _SECRET_HEADER.search(name)}
