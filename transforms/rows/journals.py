"""The journal that a caller of `complete_all` names."""

from __future__ import annotations

import os

from transforms.journal import NewJournal

_REDIS = ("redis:", "rediss:", "unix:")


def journal_of(given: str | os.PathLike[str] | NewJournal | None) -> NewJournal | None:
    """Return what opens the journal: an SQLite file, or a folder for a path that is one.

    Raises JournalError or ValueError for a name that is neither.
    """
    if given is None or isinstance(given, NewJournal):
        return given
    spec = os.fspath(given)
    if not isinstance(spec, str) or not spec:
        raise ValueError(f"journal must be a path or a NewJournal, got {given!r}")
    if spec.startswith(_REDIS):
        raise ValueError(
            "a journal in Redis needs the name of its job: journal=NewJournal(ADDRESS, NAME), with"
            " NewJournal from transforms.journal"
        )
    if not _is_folder(spec) and not spec.startswith("sqlite:"):
        spec = f"sqlite:{spec}"
    return NewJournal(spec, os.getcwd(), required=True, alone=True)


def _is_folder(spec: str) -> bool:
    return "://" in spec or spec.endswith(("/", os.sep)) or os.path.isdir(spec)
