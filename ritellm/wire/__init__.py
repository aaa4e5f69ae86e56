"""Dialects: pure functions from requests to bytes, and from bytes to chunks.

A dialect is a module that satisfies `base.Wire`. It is imported when a provider first needs it.
Each has the same files: `request` builds the request, `content` encodes the messages in it, and
`decoder` reads the response. Shared code is in `errors`, `framing`, `payload` and the modules
beside them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from ritellm.wire.base import Wire


@cache
def load(name: str) -> Wire:
    """Return the dialect called `name`."""
    return cast(Wire, import_module(f"ritellm.wire.{name}"))
