"""The error of a folder that cannot be read as its manifest says."""

from __future__ import annotations


class Unreadable(Exception):
    """A file of the job is missing, damaged or not what the job wrote; the message names it."""
