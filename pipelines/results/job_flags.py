"""The flags of a job, from its manifest: where its input and its journal are, and what it sends.

The problem: the journal knows a row by a key that is made of its request. The request depends on
templates, columns, the model, its address and parameters.

The idea: the facts of a run have all flags that its command line sets (`flags`), without passwords.
The command line of the batch program parses into the same form, so the job's own code makes the
prompts and the keys, whatever flags there are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.bigquery import PREFIX
from pipelines.errors import UsageError
from transforms.journal.key import JournalKey
from transforms.journal.spec import job_name, resolved

if TYPE_CHECKING:
    from pipelines.inputs.rows import Line
    from pipelines.results.input_rows import InputRows

Lookup = Callable[[JournalKey], bytes | None]


class JobFlags:
    """The flags of a job with these `facts` that writes to `folder`; raises UsageError.

    Facts of another version may lack them, or have flags that this one does not know.
    """

    def __init__(self, facts: Mapping[str, Any], folder: str) -> None:
        flags = facts.get("flags")
        if not isinstance(flags, dict):
            raise UsageError("the manifest does not have the flags of the job")
        self._args = _namespace(flags)
        self._address = facts.get("address")
        self._folder = folder
        started = facts.get("started_at")
        # In seconds since 1970; infinite if the facts do not tell.
        self.started_at = started if isinstance(started, float) else math.inf

    @property
    def journal(self) -> str:
        """The journal, as `transforms.journal.spec.resolved` returns it."""
        return resolved(str(self._args.journal), self._folder)

    @property
    def journal_name(self) -> str:
        """The prefix of the job's keys in Redis, unless the address names one."""
        return f"ritellm:{job_name(self._folder)}"

    @cached_property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that completions carry in `input`, None for all."""
        from pipelines.cli.flags.prompts import row_form

        return row_form(self._args).columns

    def rows(self, is_shown: Callable[[str], bool]) -> InputRows:
        """Return what finds the prompts of the input; `is_shown` knows the ids that came out.

        It imports Beam.
        """
        from pipelines.cli.flags.prompts import row_form
        from pipelines.results.input_rows import InputRows

        made, address = self._transform, self._address
        hashes = None if made.may_ask_again else made.text_hashes(address)
        form = row_form(self._args)
        return InputRows(form, lambda row: made.journal_key(row, address), hashes, is_shown)

    def lines(self) -> Iterator[Line]:
        """Yield the rows of the input, as the job numbers them; raises an error of any class."""
        from pipelines.cli.flags.input import input_options, selection
        from pipelines.cli.flags.prompts import row_form
        from pipelines.inputs.file_rows import FileRows

        if self._args.input[0].startswith(PREFIX):
            raise UsageError("the input is a table")
        needed = row_form(self._args).needed
        files = FileRows(input_options(self._args))
        lines = files.lines(self._args.input, None if needed is None else sorted(needed))
        yield from selection(self._args).lines(lines)

    @property
    def may_ask_again(self) -> bool:
        """Whether a row may have several entries in the journal, of which the last counts."""
        return bool(self._transform.may_ask_again)

    def outcome(self) -> Callable[[Any, Lookup], Any]:
        """Return what finds how a prompt has ended, None if the values in the journal do not tell.

        Its second argument finds the value of a key.
        """
        made, address = self._transform, self._address
        return lambda prompt, lookup: made.outcome_of(prompt, lookup, address)

    @cached_property
    def _transform(self) -> Any:
        from pipelines.cli.flags.model import completion_options
        from pipelines.cli.flags.records import stop_when
        from transforms import CompletePrompts

        options = completion_options(self._args)
        return CompletePrompts(self._args.model, stop_when=stop_when(self._args), **options)


def _namespace(flags: Mapping[str, Any]) -> argparse.Namespace:
    """Return the flags in the form that the parser makes."""
    from pipelines.cli.batch_parser import parser

    known = parser()
    made = known.parse_args(["--input", "-", "--output", "-"])
    for name, value in flags.items():
        if not hasattr(made, name):
            raise UsageError(
                f"the manifest has the flag {name!r} of another version; read the journal with that"
            )
        setattr(made, name, value)
    return made
