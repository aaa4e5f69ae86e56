"""The streaming program: completes prompts as they arrive and publishes the deltas live.

    python -m pipelines.stream_complete --source kafka:localhost:9092/prompts \\
        --deltas_to redis://localhost/0 --completions_to jsonl:out/ --model openai/gpt-4o-mini

Each message has one outcome, a completion or a dead letter. The source receives the acknowledgement
once the outcome is published.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.cli import location_forms, stream_checks
from pipelines.cli.flags import commit as commit_flags
from pipelines.cli.flags import journal as journal_flags
from pipelines.cli.flags import serve as serve_flags
from pipelines.cli.flags.limits import budget, prices
from pipelines.cli.flags.model import check_model
from pipelines.cli.flags.prompts import row_form
from pipelines.cli.parser import parse
from pipelines.cli.stream_parser import parser
from pipelines.errors import UsageError
from pipelines.imports import importing
from pipelines.runners import checks as runner_checks
from pipelines.runners import pipeline
from pipelines.runners import runner as runners
from pipelines.shutdown import run_program

if TYPE_CHECKING:
    from pipelines.stream_job import Job


class Program:
    """One run of the program, which `stop` ends in an orderly way."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._job: Job | None = None

    def run(self) -> int:
        """Run until the source ends or `stop`; return the exit status."""
        known_args, options = parse(parser(), runners.with_defaults(self._argv))
        location_forms.check_forms(known_args)
        here = pipeline.runs_here(options)
        serve_flags.check_serve(known_args, here)
        stream_checks.settle_journal(known_args, here)
        known_args.journal = journal_flags.reachable_journal(
            known_args.journal, known_args.output, options
        )
        known_args.journal_alone = pipeline.shares_process(options)
        runner_checks.check(options)
        commit_flags.settle_commits(known_args, options)
        check_model(known_args, here)
        row_form(known_args)
        new_budget = budget(known_args, journal_flags.journal(known_args))
        prices(known_args.prices)
        if here and runners.workers(options) is not runners.Workers.IN_PROCESS:
            raise UsageError("--direct_running_mode must not be multi_processing for a live source")
        with importing("stream_complete"):
            from pipelines.stream_job import Job  # Beam, which no check above needs

        endless = any("--checkpointing_interval" in flag for flag in self._argv)
        self._job = Job(known_args, options, new_budget, endless)
        return self._job.run()

    def stop(self) -> bool:
        """Stop receiving and let the job end; return False if only cancelling can end it."""
        return self._job is not None and self._job.stop()

    def unfinished(self) -> str:
        """Return what is left of a job that stopped before its completions had finished."""
        return self._job.unfinished() if self._job else "no message was received"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    program = Program(sys.argv[1:] if argv is None else argv)
    run_program("stream_complete", program.run, program.unfinished, program.stop)


if __name__ == "__main__":
    main()
