"""What a job keeps about itself, and whether the output folder belongs to another job."""

from __future__ import annotations

import argparse
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.cli import job_facts
from pipelines.cli.flags.model import model_params
from pipelines.errors import UsageError
from pipelines.filesystem import printable
from pipelines.inputs import stdin
from pipelines.outputs.folder import last_report
from pipelines.outputs.shards.manifest import Run
from ritellm.masking import masked_url


def report_facts(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return what `report.json` begins with."""
    facts = {
        "model": known_args.model,
        "input": [_shown(location) for location in known_args.input],
        "params": model_params(known_args),
        "output_format": known_args.output_format,
    }
    if known_args.output_table:
        facts["output_table"] = known_args.output_table
    return facts


def _shown(location: str) -> str:
    return stdin.NAME if location == stdin.STDIN else printable(stdin.shown(location))


def run_facts(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return the facts of a run that starts now, for its manifest."""
    journal = known_args.journal
    return {
        **report_facts(known_args),
        # Only here: prompts may be among the flags, and people send reports to others.
        "flags": job_facts.flags_of(known_args),
        "address": job_facts.address_of(known_args, os.environ),
        "journal": masked_url(journal) if "://" in journal else printable(journal),
        "directory": printable(os.getcwd()),
        "started_at": time.time(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def check_same_job(known_args: argparse.Namespace, runs: Sequence[Run]) -> None:
    """Raise UsageError if the output folder has completions of another model or input.

    `runs` are those of the folder. Failed rows alone are no reason: a wrong model leaves them.
    """
    if known_args.overwrite:
        return
    mine = run_facts(known_args)
    for rows, theirs in _earlier(known_args.output, runs):
        if others := _differences(mine, theirs):
            raise UsageError(
                f"--output {known_args.output} has {rows:,} completions of another job"
                f" ({'; '.join(others)}); choose another --output, or add --overwrite to replace"
                " them when this job is complete"
            )


def _earlier(folder: str, runs: Sequence[Run]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the completions that each job has left in the folder, with its facts."""
    for run in runs:
        if run.facts and (rows := run.rows("completions")):
            yield rows, run.facts
    report = last_report(folder)
    if report is not None and "run" not in report and report.get("completed"):  # an older version's
        yield report["completed"], report


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    found = []
    if (model := theirs.get("model")) != mine["model"]:
        found.append(f"its model is {model}, not {mine['model']}")
    if _places(mine) != _places(theirs):
        given = (" ".join(map(str, facts.get("input") or [])) for facts in (theirs, mine))
        found.append("its input is {}, not {}".format(*given))
    return found


def _places(facts: Mapping[str, Any]) -> list[str]:
    """Return the patterns of the input, independent of the working directory."""
    directory = str(facts.get("directory") or os.getcwd())
    given = map(str, facts.get("input") or [])
    return sorted(os.path.join(directory, each) if _is_path(each) else each for each in given)


def _is_path(shown: str) -> bool:
    return job_facts.is_path(stdin.STDIN if shown == stdin.NAME else shown)
