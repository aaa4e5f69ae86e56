"""Beam's options of a job, which import Beam only when a value of them is used."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.cli.flags.beam import runner_in
from pipelines.runners.runner import LOCAL_RUNNERS, short_name
from ritellm.masking import masked_url

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# Flags whose values are addresses, which may hold a password. The others are paths and numbers;
# keys are never flags, only the names of where they are.
_ADDRESSES = frozenset("base_url completions_to deltas_to failed_to journal source".split())
# Shown even if the command line leaves them out.
_ALWAYS = frozenset({"model"})


class JobOptions:
    """Beam's options of a job: `args` are the flags that the program itself does not know.

    `shown` are the flags of the program that the runner's console shows. The first use of a value
    raises UsageError if Beam rejects the flags.
    """

    def __init__(self, args: Sequence[str], shown: Mapping[str, Any]) -> None:
        # Beam's default, DirectRunner, first tries to download another runner.
        self._args = list(args) if runner_in(args) else [*args, "--runner=FnApiRunner"]
        self._shown = shown

    def get_all_options(self) -> dict[str, Any]:
        """Return the values by name; if the flags name a local runner only, just that."""
        return self._all

    @cached_property
    def _all(self) -> dict[str, Any]:
        runner = runner_in(self._args) or ""
        is_alone = len(self._args) == (1 if "=" in self._args[0] else 2)
        if is_alone and short_name(runner) in LOCAL_RUNNERS:
            return {"runner": runner}
        found: dict[str, Any] = self.beam.get_all_options()
        return found

    @cached_property
    def beam(self) -> PipelineOptions:
        """The options as Beam's own object, always the same one."""
        from pipelines.cli.beam_options import parsed

        return parsed(self._args, self._shown)


def shown(parser: argparse.ArgumentParser, known_args: argparse.Namespace) -> Mapping[str, Any]:
    """Return the flags that the command line sets, as options of the job, without passwords."""
    return dict(_set(parser, known_args))


def _set(
    parser: argparse.ArgumentParser, known_args: argparse.Namespace
) -> Iterator[tuple[str, Any]]:
    for name, value in vars(known_args).items():
        if value is None or (value == parser.get_default(name) and name not in _ALWAYS):
            continue
        yield name, _masked(value) if name in _ADDRESSES else value


def _masked(address: str) -> str:
    return masked_url(address) if "://" in address else address
