"""Errors of the programs."""

from __future__ import annotations


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line."""
