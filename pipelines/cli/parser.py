"""Parses the flags of a program and those of Beam, and refuses flags that neither knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.cli.job_options import ProgramOptions, shown
from pipelines.errors import UsageError
from pipelines.runners.runner import runner_flags
from ritellm.suggest import did_you_mean


class Parser(argparse.ArgumentParser):
    """An argparse parser that reports an error as one line, with a pointer to --help."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a UsageError."""
        raise UsageError(f"{message} (see --help)")


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, PipelineOptions]:
    """Return the program's arguments and Beam's options; raises UsageError for unknown flags."""
    known_args, pipeline_args = parser.parse_known_args(list(argv))
    _refuse_unknown(parser, pipeline_args)
    given = PipelineOptions(pipeline_args).get_all_options(drop_default=True)
    if "runner" not in given:
        # Beam's default, DirectRunner, first tries to download another runner.
        pipeline_args = [*pipeline_args, "--runner=FnApiRunner"]
    return known_args, PipelineOptions(pipeline_args, **shown(parser, known_args))


def _refuse_unknown(parser: argparse.ArgumentParser, pipeline_args: Sequence[str]) -> None:
    beam = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in _all_subclasses(PipelineOptions):
        if options is not ProgramOptions:
            options._add_argparse_args(beam)
    try:
        given, unknown = beam.parse_known_args(list(pipeline_args))
    except SystemExit:
        raise UsageError("Beam rejects these options, see the message above") from None
    of_runner = runner_flags(given.runner)
    flags = (each.partition("=")[0] for each in unknown if each.startswith("-"))
    flag = next((each for each in flags if each not in of_runner), None)
    if flag is None:
        _refuse_stray(unknown)
        return
    known = [*parser._option_string_actions, *beam._option_string_actions, *of_runner]
    raise UsageError(f"unknown flag {flag}{did_you_mean(flag, known)} (see --help)")


def _refuse_stray(unknown: Sequence[str]) -> None:
    """Raise UsageError for a word that is not the value of a flag of the runner before it."""
    for before, word in zip(["", *unknown], unknown, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if not word.startswith("-") and not is_value:
            raise UsageError(
                f"unexpected argument {word!r}; each value needs its flag (see --help)"
            )


def _all_subclasses(cls: type) -> list[Any]:
    subclasses: list[Any] = cls.__subclasses__()
    return [found for sub in subclasses for found in (sub, *_all_subclasses(sub))]


def positive(text: str) -> int:
    """Return a whole number from 1; raises ArgumentTypeError for other texts."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive whole number, got {text!r}")
    return int(text)
