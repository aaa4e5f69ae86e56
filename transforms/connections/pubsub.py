"""Pub/Sub's client, and its errors in one line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def explained(error: type[Exception], missing: type[Exception] | None = None) -> Iterator[None]:
    """Turn errors of Google's client into `error` or, for a missing topic, `missing`."""
    api = importlib.import_module("google.api_core.exceptions")
    auth = importlib.import_module("google.auth.exceptions")
    try:
        yield
    except api.NotFound as raised:
        raise (missing or error)(f"Pub/Sub: {_line(raised)}") from raised
    except (api.GoogleAPIError, auth.GoogleAuthError) as raised:
        raise error(f"Pub/Sub: {_line(raised)}") from raised


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def client() -> Any:
    """Return the client library; raises ImportError that says how to get it."""
    try:
        return importlib.import_module("google.cloud.pubsub_v1")
    except ImportError:
        raise ImportError(
            "Pub/Sub needs its client: pip install 'ritellm-beam[pubsub]' (google-cloud-pubsub)"
        ) from None
