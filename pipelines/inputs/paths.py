"""Finds the local files that a pattern names, by the rules of a shell.

The problem: Beam's own matching finds no file for `*.jsonl` in the current folder, none whose name
has brackets, none behind a link to a folder, and it reads hidden files.

The rules:
- A file with exactly this name comes first, whatever characters its name has.
- `*`, `?` and `[...]` match within one name. A name that begins with a dot needs a dot in the
  pattern.
- `**` matches any folders below; `a**b` also matches names below, as in Beam.
- Links to files and folders are followed. `**` enters a folder once, also if links form a circle.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile

_MAGIC = re.compile(r"[*?\[]")


def has_wildcard(pattern: str) -> bool:
    """Return whether `pattern` has a character that matches more than itself."""
    return _MAGIC.search(pattern) is not None


def find(pattern: str) -> list[str]:
    """Return the local files and folders that match `pattern`, sorted; also broken links.

    Raises OSError if a folder cannot be read.
    """
    if os.path.lexists(pattern) or not has_wildcard(pattern):
        return [pattern] if os.path.lexists(pattern) else []
    root, below = ("/", pattern.lstrip("/")) if pattern.startswith("/") else ("", pattern)
    parts = [part for part in below.split("/") if part]
    return sorted({path for each in _spelled_out(parts) for path in _expand(root, each)})


def left_out(pattern: str) -> tuple[list[str], list[str]]:
    """Return the hidden files that `pattern` would match if it began with a dot, and folders."""
    if os.path.lexists(pattern) or not has_wildcard(pattern):
        return [], []
    parent, slash, last = pattern.rpartition("/")
    above = [p for p in find(parent) if os.path.isdir(p)] if has_wildcard(parent) else [parent]
    if last.startswith("."):
        hidden = []
    else:
        glob = re.sub(r"\*{2,}", "*", last.replace("[^", "[!"))
        hidden = [
            os.path.join(folder + slash, name)
            for folder in above
            for name in _names(folder + slash)
            if name[0] == "." and fnmatchcase(name, glob)
        ]
    files = [path for path in hidden if not os.path.isdir(path)]
    return files, [path for path in find(pattern) if os.path.isdir(path) and "**" not in pattern]


def common_folder(patterns: Sequence[str]) -> str:
    """Return the start of all paths that match: up to the last slash before any wildcard."""
    fixed = [_fixed(pattern) for pattern in patterns]
    folders = [path[: path.rfind("/") + 1].split("/")[:-1] for path in fixed]
    equal = takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    return "".join(f"{names[0]}/" for names in equal)


def is_hidden(path: str) -> bool:
    """Return whether the path has a name that begins with a dot."""
    return any(name.startswith(".") and name.strip(".") for name in path.split("/"))


def _fixed(pattern: str) -> str:
    if "://" in pattern:
        return _MAGIC.split(pattern, maxsplit=1)[0]
    exact = os.path.lexists(pattern)
    return re.sub("/{2,}", "/", pattern if exact else _MAGIC.split(pattern, maxsplit=1)[0])


def _spelled_out(parts: Sequence[str]) -> Iterator[list[str]]:
    """Yield patterns in which each `**` is a part of its own: `a**b` is `a*b` or `a*/**/*b`."""
    for index, part in enumerate(parts):
        before, found, after = re.sub(r"\*{3,}", "**", part).partition("**")
        is_last = index == len(parts) - 1
        if found and (before or after or is_last):
            rest = parts[index + 1 :]
            yield from _spelled_out([*parts[:index], f"{before}*{after}", *rest])
            middle = [f"{before}*", "**"] if before else ["**"]
            yield from _spelled_out([*parts[:index], *middle, f"*{after}", *rest])
            return
    yield list(parts)


def _expand(folder: str, parts: Sequence[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        for each in _folders_below(folder, set()):
            yield from _expand(each, rest)
        return
    names = _matching(folder, part) if has_wildcard(part) else [part]
    for path in (os.path.join(folder, name) for name in names):
        if rest:
            yield from _expand(path, rest)
        elif os.path.lexists(path):
            yield path


def _matching(folder: str, part: str) -> list[str]:
    """Return the names in `folder` that match; a shell also writes `[!a]` as `[^a]`."""
    glob = part.replace("[^", "[!")
    names = _names(folder)
    return [n for n in names if fnmatchcase(n, glob) and (n[0] != "." or part[0] == ".")]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders_below(folder: str, entered: set[tuple[int, int]]) -> Iterator[str]:
    """Yield `folder` and the folders below it that are not hidden, each of them once."""
    found = os.stat(folder or ".")
    if (found.st_dev, found.st_ino) in entered:
        return
    entered.add((found.st_dev, found.st_ino))
    yield folder
    for path in (os.path.join(folder, name) for name in _names(folder) if name[0] != "."):
        if os.path.isdir(path):
            yield from _folders_below(path, entered)
