"""Redis's errors in one line, as those of a store."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.serve_deltas.stores.base import StoreUnavailable


@contextmanager
def client_errors(name: str) -> Iterator[None]:
    """Turn errors of the client into StoreUnavailable, about the server called `name`."""
    redis = importlib.import_module("redis")
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"{name} cannot be used: {words(error)}") from error


def words(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
