"""Parses the flags of a program and those of Beam, and refuses flags that neither knows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NoReturn

from pipelines.cli.flags.beam import refuse_unknown, unknown
from pipelines.cli.job_options import JobOptions, shown
from pipelines.errors import UsageError
from pipelines.scripts import module_of
from ritellm.version import __version__


class Parser(argparse.ArgumentParser):
    """An argparse parser that reports an error as one line, with a pointer to --help."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a UsageError."""
        raise UsageError(f"{message} (see --help)")

    def parse_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Return the arguments; a flag that is unknown is reported with the one that was meant."""
        given = sys.argv[1:] if args is None else list(args)
        for other in _others(self, given):
            if other.startswith("--"):
                raise unknown(other.partition("=")[0], self._option_string_actions)
        found: argparse.Namespace = super().parse_args(given, namespace)
        return found


def program(module: str) -> str:
    """Return how the user runs `module`: as a console script, or with `python -m`."""
    path = sys.argv[0] or ""
    return PurePath(path).stem if module_of(path) == module else f"python -m {module}"


def add_version(parser: Parser) -> None:
    """Add `--version`, which prints the version and exits."""
    parser.add_argument("--version", action="version", version=f"ritellm-beam {__version__}")


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, JobOptions]:
    """Return the program's arguments and Beam's options; raises UsageError for unknown flags.

    It does not import Beam. The options do so when they are used.
    """
    refuse_unknown(_others(parser, argv), parser._option_string_actions)
    known_args, beam_args = parser.parse_known_args(list(argv))
    return known_args, JobOptions(beam_args, shown(parser, known_args))


def _others(parser: Parser, argv: Sequence[str]) -> list[str]:
    """Return the arguments that the program does not know, whether or not others are missing.

    A misspelt flag is not there either: its name says more than that one is missing.
    """
    required = [action for action in parser._actions if action.required]
    try:
        for action in required:
            action.required = False
        return parser.parse_known_args(list(argv))[1]
    finally:
        for action in required:
            action.required = True


def positive(text: str) -> int:
    """Return a whole number from 1; raises ArgumentTypeError for other texts."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive whole number, got {text!r}")
    return int(text)


def not_negative(text: str) -> int:
    """Return a whole number from 0; raises ArgumentTypeError for other texts."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)
