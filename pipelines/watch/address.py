"""The file by which a job tells the user of its machine where its live page is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson

from pipelines.filesystem import is_local

ADDRESS = ".watch-address"
_LONGEST = 4_096


@contextmanager
def written(folder: str, url: str) -> Iterator[None]:
    """Have the address in a local `folder`, readable for its user only, until the block ends."""
    if not is_local(folder):
        yield
        return
    path = os.path.join(folder, ADDRESS)
    content = orjson.dumps({"url": url, "pid": os.getpid()})
    with suppress(OSError):  # the watch must not end the job
        _write(path, content)
    try:
        yield
    finally:
        with suppress(OSError):
            if _read(path) == content:
                os.unlink(path)


def find(folder: str) -> str | None:
    """Return the address that a job has written to `folder`, None without one.

    A job that was killed leaves its address behind.
    """
    if not is_local(folder):
        return None
    try:
        url = orjson.loads(_read(os.path.join(folder, ADDRESS)))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A file in the folder must not lead the user to another machine.
    return url if isinstance(url, str) and url.startswith("http://127.0.0.1:") else None


def _write(path: str, content: bytes) -> None:
    unfinished = f"{path}.unfinished"
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    os.replace(unfinished, path)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LONGEST)
