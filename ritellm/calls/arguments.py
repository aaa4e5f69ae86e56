"""Checks the values of `completion()`'s parameters before anything is sent. Pure.

An error shows a value only if the value cannot contain a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import AuthenticationError, InvalidRequestError
from ritellm.retry import RetryPolicy
from ritellm.types import Buffer, Timeouts


def timeouts(value: Any) -> Timeouts:
    """Return `value` as timeouts: a number, `Timeouts`, `httpx.Timeout` or None."""
    wanted = "timeout must be a number of seconds above 0, or Timeouts"
    if _is_httpx_timeout(value):
        value = Timeouts(value.connect, value.read, value.read)
    if not isinstance(value, (int, float, Timeouts, type(None))):
        raise InvalidRequestError(f"{wanted}, got {value!r:.80}")
    limits = Timeouts.of(value)
    for limit in (limits.connect, limits.first_chunk, limits.inter_chunk, limits.total):
        if limit is not None and not (isinstance(limit, (int, float)) and limit > 0):
            raise InvalidRequestError(f"{wanted} of such numbers or None, got {limit!r:.80}")
    return limits


def _is_httpx_timeout(value: Any) -> bool:
    """Return whether `value` is an `httpx.Timeout`; httpx is not imported to find out."""
    kind = type(value)
    return kind.__module__.partition(".")[0] == "httpx" and kind.__name__ == "Timeout"


def recording(path: Any) -> str | None:
    """Return the path of a file to record to, None for no recording."""
    if path is None:
        return None
    text = path.__fspath__() if hasattr(type(path), "__fspath__") else path
    if isinstance(text, str):
        return text or None
    raise InvalidRequestError(f"record must be the path of a file, got {path!r:.80}")


def buffer(msec: Any, chunks: Any) -> Buffer:
    """Return how chunks are merged: by milliseconds, by number, or not at all."""
    if not isinstance(msec, (int, float, type(None))) or (msec or 0) < 0:
        raise InvalidRequestError(f"buffer_msec must be a number >= 0, got {msec!r:.80}")
    if not isinstance(chunks, (int, type(None))) or (chunks or 0) < 0:
        raise InvalidRequestError(f"buffer_chunks must be a whole number >= 0, got {chunks!r:.80}")
    return Buffer((msec or 0) / 1000, chunks or 0)


def policy(retry: Any, num_retries: Any) -> RetryPolicy:
    """Return the policy `retry`, or the default one, with `num_retries` if that is given."""
    if not isinstance(retry, (RetryPolicy, type(None))):
        raise InvalidRequestError(f"retry must be a RetryPolicy, got {retry!r:.80}")
    chosen = retry or RetryPolicy()
    if num_retries is None:
        return chosen
    if not isinstance(num_retries, int) or num_retries < 0:
        raise InvalidRequestError(
            f"num_retries must be a whole number >= 0, got {num_retries!r:.80}"
        )
    return _with_retries(chosen, num_retries)


@lru_cache(maxsize=64)
def _with_retries(policy: RetryPolicy, num_retries: int) -> RetryPolicy:
    return replace(policy, num_retries=num_retries)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return the argument `name`, a dict or None, as a dict."""
    if not isinstance(value, (Mapping, type(None))):
        raise InvalidRequestError(f"{name} must be a dict, got {type(value).__name__}")
    return value or {}


def headers(argument: str, value: Any) -> Mapping[str, str]:
    """Return the headers in the parameter `argument`, or none."""
    given = mapping(argument, value)
    for name, text in given.items():
        if not _fits_a_header(name) or not _fits_a_header(text):
            raise InvalidRequestError(
                f"{argument}: the name and the value of {name!r:.80} must be text in ASCII,"
                " without line breaks"
            )
        if not _TOKEN.fullmatch(name):
            raise InvalidRequestError(
                f"{argument}: a name must be letters, digits and hyphens, got {name!r:.80}"
            )
        if name.lower() in _OF_THE_CONNECTION:
            raise InvalidRequestError(
                f"{argument}: {name} belongs to the connection and cannot be set; leave it out"
            )
    return given


# A name, by RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Headers that describe the framing of a message, or this connection only.
_OF_THE_CONNECTION = frozenset(
    "connection content-length expect keep-alive proxy-authenticate proxy-authorization"
    " proxy-connection te trailer transfer-encoding upgrade".split()
)


def address(value: Any) -> str | None:
    """Return `base_url` without surrounding blanks, or None."""
    if not isinstance(value, (str, type(None))):
        raise InvalidRequestError(f"base_url must be text, got {type(value).__name__}")
    return value.strip() if value else None


def with_clean_key(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` without blanks around its key, as a file or a shell may leave them.

    Raises AuthenticationError for a key that does not fit a header: the HTTP library would show it.
    """
    key: Any = endpoint.key
    if key is None:
        return endpoint
    if not isinstance(key, str) or not _fits_a_header(key.strip()):
        raise AuthenticationError(
            "the key must be text in ASCII, without line breaks: check api_key, or the"
            " environment variable",
            provider=endpoint.provider.name,
        )
    clean = key.strip() or None
    return endpoint if clean == key else replace(endpoint, key=clean)


def _fits_a_header(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()
