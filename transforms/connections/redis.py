"""Redis's client: addresses with our own options, and its errors in one line."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ritellm.masking import without_user

# Delays of 0.1, 0.2, 0.4 ... at most 5 seconds: half a minute in all, a managed server's failover.
PATIENT = 10
IMPATIENT = 1


class RedisUnavailable(Exception):
    """Redis, or its client library, cannot be used; the message is one line."""


def connect(url: str, prefix: str, tries: int) -> tuple[Any, str]:
    """Return a client for `url`, and the URL's own prefix or else `prefix`.

    The client connects when it is first used, and again when the connection is lost. Raises
    ValueError for a bad address, RedisUnavailable without the client library.
    """
    redis = _redis()
    address, options, prefix = _arguments(url, prefix)
    retry = importlib.import_module("redis.retry").Retry(_backoff(), tries)
    try:
        return redis.Redis.from_url(address, retry=retry, **options), prefix
    except (ValueError, TypeError) as error:
        raise ValueError(f"{public_address(url)}: {error}") from None


def connect_async(url: str, tries: int, connections: int) -> Any:
    """Return what `connect` does for asyncio, with at most this number of `connections`."""
    _redis()
    redis = importlib.import_module("redis.asyncio")
    address, options, _ = _arguments(url, "")
    retry = importlib.import_module("redis.asyncio.retry").Retry(_backoff(), tries)
    try:
        pool = redis.BlockingConnectionPool.from_url(
            address, retry=retry, max_connections=connections, timeout=30, **options
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{public_address(url)}: {error}") from None
    return redis.Redis(connection_pool=pool)


def _backoff() -> Any:
    return importlib.import_module("redis.backoff").ExponentialBackoff(cap=5.0, base=0.1)


def _arguments(url: str, prefix: str) -> tuple[str, dict[str, Any], str]:
    """Return the client's own address, its options, and the URL's own prefix or else `prefix`."""
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    prefix = options.pop("prefix", prefix)
    patience = {"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 30}
    secret = _password(options.pop("password_env", None))
    address += "?" + urlencode(options) if options else ""
    return address, {**patience, **secret}, prefix


@contextmanager
def errors_as(error: type[Exception], name: str) -> Iterator[None]:
    """Turn the client's errors into `error`, in one line about the server called `name`."""
    errors: type[Exception] = _redis().RedisError
    try:
        yield
    except errors as raised:
        raise error(f"{name} cannot be used: {raised}") from raised


def refuse_password(url: str) -> None:
    """Raise ValueError, which does not repeat it, for a password in `url`."""
    address, user = without_user(url)
    has_password = ":" in (user or "") or "password" in dict(parse_qsl(address.partition("?")[2]))
    if not has_password:
        return
    raise ValueError(
        f"the job would store the password in the address of {public_address(url)}; put it into"
        " an environment variable of the workers, and append ?password_env=NAME to the address"
    )


def public_address(url: str) -> str:
    """Return the address in `url` without a password, for messages."""
    parts = urlsplit(without_user(url)[0])
    return f"Redis at {parts.hostname or parts.path}" + (f":{parts.port}" if parts.port else "")


def _password(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    if not os.environ.get(variable):
        raise ValueError(f"the environment variable {variable} (password_env) is not set here")
    return {"password": os.environ[variable]}


def _redis() -> Any:
    try:
        return importlib.import_module("redis")
    except ImportError:
        raise RedisUnavailable("Redis needs its client: pip install 'redis>=5'") from None
