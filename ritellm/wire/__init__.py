"""Dialects and framings: pure functions from bytes to chunks and back.

A dialect is a module that satisfies `base.Wire`; it is imported when a provider first needs it.
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
