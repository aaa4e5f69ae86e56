"""Journals: completions recorded under their requests, so that no later run pays for them again."""

from transforms.journal.base import (
    Journal,
    JournalError,
    JournalInUse,
    JournalUnavailable,
    Spent,
)
from transforms.journal.key import JournalKey, request_hash
from transforms.journal.spec import NewJournal, open_journal

__all__ = [
    "Journal",
    "JournalError",
    "JournalInUse",
    "JournalKey",
    "JournalUnavailable",
    "NewJournal",
    "Spent",
    "open_journal",
    "request_hash",
]
