"""Parses Beam's flags, and adds the program's own, so that the runner's console shows them.

Dataflow lists the options of a job on its page. A flag that only the program knows is not one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.cli.flags.beam import refuse_stray, runner_in, unknown
from pipelines.errors import UsageError
from pipelines.runners.runner import runner_flags


class ProgramOptions(PipelineOptions):  # type: ignore[misc]
    """The flags of the program of this process; no flag before `parsed` has read one."""

    names: ClassVar[set[str]] = set()

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name in sorted(cls.names):
            if f"--{name}" not in parser._option_string_actions:
                parser.add_argument(f"--{name}")


def parsed(args: Sequence[str], shown: Mapping[str, Any]) -> PipelineOptions:
    """Return the options that `args` set, with those of the program in `shown`.

    Raises UsageError for flags that Beam rejects.
    """
    _check(args)
    ProgramOptions.names = set(shown)
    return PipelineOptions(list(args), **shown)


def _check(args: Sequence[str]) -> None:
    beam = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in _all_subclasses(PipelineOptions):
        if options is not ProgramOptions:
            options._add_argparse_args(beam)
    try:
        _, rest = beam.parse_known_args(list(args))
    except SystemExit:
        raise UsageError("Beam rejects these options, see the message above") from None
    of_runner = runner_flags(runner_in(args))
    for flag in (each.partition("=")[0] for each in rest if each.startswith("-")):
        if flag not in of_runner:
            raise unknown(flag, [*beam._option_string_actions, *of_runner])
    refuse_stray(rest)


def _all_subclasses(cls: type) -> list[Any]:
    subclasses: list[Any] = cls.__subclasses__()
    return [found for sub in subclasses for found in (sub, *_all_subclasses(sub))]
