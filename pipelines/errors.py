"""The errors that end a program: a command line that cannot work, and a reader that has left."""

from __future__ import annotations


class UsageError(Exception):
    """The command line cannot work; the message is one line with the remedy."""


class ReaderLeft(Exception):
    """The reader of standard output has closed it, as `head` does; the program ends quietly."""


class OutputGone(Exception):
    """The output folder has disappeared; the message says what to do."""
