"""The program's own flags as options of the job, so that the runner's console shows them.

Dataflow lists the options of a job on its page. A flag that only the program knows is not one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from apache_beam.options.pipeline_options import PipelineOptions

from ritellm.masking import masked_url

# Flags whose values are addresses, which may hold a password. The others are paths and numbers;
# keys are never flags, only the names of where they are.
_ADDRESSES = frozenset("base_url completions_to deltas_to failed_to journal source".split())
# Shown even if the command line leaves them out.
_ALWAYS = frozenset({"model"})


class ProgramOptions(PipelineOptions):  # type: ignore[misc]
    """The flags of the program of this process; no flag before `parse` has read one."""

    names: ClassVar[set[str]] = set()

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name in sorted(cls.names):
            if f"--{name}" not in parser._option_string_actions:
                parser.add_argument(f"--{name}")


def shown(parser: argparse.ArgumentParser, known_args: argparse.Namespace) -> Mapping[str, Any]:
    """Return the flags that the command line sets, as options of the job, without passwords."""
    found = dict(_set(parser, known_args))
    ProgramOptions.names = set(found)
    return found


def _set(
    parser: argparse.ArgumentParser, known_args: argparse.Namespace
) -> Iterator[tuple[str, Any]]:
    for name, value in vars(known_args).items():
        if value is None or (value == parser.get_default(name) and name not in _ALWAYS):
            continue
        yield name, _masked(value) if name in _ADDRESSES else value


def _masked(address: str) -> str:
    return masked_url(address) if "://" in address else address
