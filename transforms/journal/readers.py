"""The readers of journals by their specification."""

from __future__ import annotations

from transforms.journal.reading import JournalReader


def open_reader(spec: str, name: str = "") -> JournalReader | None:
    """Return the reader of the journal that `spec.resolved` names, None for `none`.

    `name` is the prefix of the job's keys in Redis, unless the address names one.
    """
    if spec.startswith("sqlite:"):
        from transforms.journal.sqlite.reader import SqliteReader

        return SqliteReader(spec.removeprefix("sqlite:"))
    if spec == "none":
        return None
    if spec.startswith(("redis://", "rediss://", "unix://")):
        from transforms.journal.redis_reading import RedisReader

        return RedisReader(spec, name)
    from transforms.journal.folder.reader import FolderReader

    return FolderReader(spec)
