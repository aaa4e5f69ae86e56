"""Refuses flags that neither the program nor Beam knows, without an import of Beam.

The problem: an import of Beam takes seconds, and a user who misspells a flag would wait for it.

The idea: the names of Beam's flags are in the text of one of its modules. A flag that is not in the
text is not Beam's. Beam itself checks the others later, with their values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.runners.runner import runner_flags
from ritellm.suggest import nearest

_TEXT = "options/pipeline_options.py"
_QUOTED = re.compile(r"""["'](--?[A-Za-z][\w-]*)["']""")
_FLAG = re.compile(r"--?[A-Za-z][\w-]*")


def refuse_unknown(args: Sequence[str], own: Collection[str]) -> None:
    """Raise UsageError for a flag in `args` that Beam does not know; `own` are the program's.

    It may leave an unknown flag to Beam's own check, but refuses none that Beam accepts.
    """
    if not any(arg.startswith("-") for arg in args):
        refuse_stray(args)
    named = [_FLAG.fullmatch(arg.partition("=")[0]) for arg in args]
    flags = [found[0] for found in named if found]
    of_beam = _of_beam() if flags else frozenset()
    if not of_beam:
        return
    of_runner = runner_flags(runner_in(args))
    for flag in flags:
        if flag not in of_beam and flag not in of_runner:
            raise unknown(flag, own, [*sorted(of_beam), *of_runner])


# How like a flag must be to one of the program, and to one of the hundreds of Beam.
_LIKE_OWN, _LIKE_BEAMS = 0.75, 0.85


def unknown(flag: str, own: Collection[str], others: Collection[str] = ()) -> UsageError:
    """Return the error about `flag`, with the flag that was meant, if one is much like it.

    The program's `own` flags come before the `others`.
    """
    near = _meant(flag, own, _LIKE_OWN) or _meant(flag, others, _LIKE_BEAMS)
    hint = f"; did you mean {near}?" if near else ""
    return UsageError(f"unknown flag {flag}{hint} (see --help)")


def _meant(flag: str, known: Collection[str], likeness: float) -> str | None:
    """Return the flag in `known` that is like `flag`, or the only one that it begins."""
    names = {_bare(each): each for each in known}
    near = nearest(_bare(flag), names, likeness)
    if near is None and len(_bare(flag)) >= _LEAST_BEGINNING:
        begun = [name for name in names if name.startswith(_bare(flag))]
        near = begun[0] if len(begun) == 1 else None
    return None if near is None else names[near]


# The least letters of a flag that is taken for the beginning of another one.
_LEAST_BEGINNING = 3


def _bare(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def refuse_stray(args: Sequence[str]) -> None:
    """Raise UsageError for a word that is not the value of a flag before it."""
    for before, word in zip(["", *args], args, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if not word.startswith("-") and not is_value:
            raise UsageError(
                f"unexpected argument {word!r}; each value needs its flag (see --help)"
            )


def runner_in(args: Sequence[str]) -> str | None:
    """Return the value of `--runner` in `args`, or None."""
    found = None
    for arg, after in zip(args, [*args[1:], ""], strict=False):
        flag, equals, value = arg.partition("=")
        if flag == "--runner":
            found = value if equals else after
    return found or None


def _of_beam() -> frozenset[str]:
    """Return the flags of Beam and a few words more; empty if its text is not a file."""
    spec = find_spec("apache_beam")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        try:
            text = (Path(folder) / _TEXT).read_text(encoding="utf-8")
        except OSError:
            continue
        return frozenset(_QUOTED.findall(text))
    return frozenset()
