"""The parser of the programs' flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import UsageError
from pipelines.runners.runner import engine_flags
from ritellm.suggest import did_you_mean


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line, and where help is."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a UsageError."""
        raise UsageError(f"{message} (see --help)")


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, PipelineOptions]:
    """Return our options and Beam's; raises UsageError for a flag that neither knows."""
    ours, others = parser.parse_known_args(list(argv))
    _refuse_unknown(parser, others)
    options = PipelineOptions(others)
    given = options.get_all_options(drop_default=True)
    if "runner" not in given:
        # Never plain DirectRunner: it looks for a runner to download first.
        options = PipelineOptions([*others, "--runner=FnApiRunner"])
    return ours, options


def _refuse_unknown(parser: argparse.ArgumentParser, others: Sequence[str]) -> None:
    beam = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in _all_subclasses(PipelineOptions):
        options._add_argparse_args(beam)
    try:
        given, unknown = beam.parse_known_args(list(others))
    except SystemExit:
        raise UsageError("Beam does not accept these options, see above") from None
    of_engine = engine_flags(given.runner)
    flags = (each.partition("=")[0] for each in unknown if each.startswith("-"))
    flag = next((each for each in flags if each not in of_engine), None)
    if flag is None:
        return
    known = [*parser._option_string_actions, *beam._option_string_actions, *of_engine]
    raise UsageError(f"unknown flag {flag}{did_you_mean(flag, known)} (see --help)")


def _all_subclasses(cls: type) -> list[Any]:
    subclasses: list[Any] = cls.__subclasses__()
    return [found for sub in subclasses for found in (sub, *_all_subclasses(sub))]


def positive(text: str) -> int:
    """Return a whole number from 1; raises what argparse wants."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
