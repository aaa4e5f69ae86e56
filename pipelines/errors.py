"""The error that a program raises for a command line that cannot work."""

from __future__ import annotations


class UsageError(Exception):
    """The command line cannot work; the message is one line with the remedy."""
