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
from typing import Any

import orjson

from pipelines.bigquery import PREFIX
from pipelines.errors import UsageError
from transforms.journal.key import JournalKey
from transforms.journal.spec import job_name, resolved

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

    def prompts(self, is_shown: Callable[[str], bool]) -> Iterator[Any]:
        """Yield the prompts of the input, as the job numbers them; raises an error of any class.

        Rows with an id of which `is_shown` says that it has come out are left out. It imports Beam,
        as `key` does.
        """
        from pipelines.cli.flags.input import input_options, selection
        from pipelines.cli.flags.prompts import row_form
        from pipelines.inputs.file_rows import FileRows
        from pipelines.inputs.rows import read
        from transforms.elements import Prompt
        from transforms.prompts.seen_ids import SeenIds

        if self._args.input[0].startswith(PREFIX):
            raise UsageError("the input is a table")
        form, ids = row_form(self._args), SeenIds()
        needed = None if form.needed is None else sorted(form.needed)
        files = FileRows(input_options(self._args))
        part = selection(self._args)
        for line in part.lines(files.lines(self._args.input, needed)):
            if form.id_column is None and (id := _own_id(line.text)) and is_shown(id):
                continue  # most rows of a job whose files have nearly all; duplicates go, too
            row = read(line, by_content=True, rows=form).row
            if not isinstance(row, Prompt):
                continue
            if number := ids.claim(row.id, line.location, row.key):
                yield row if row.key is None else row._replace(key=f"{row.key}:{number}")

    def key(self) -> Callable[[Any], JournalKey | None]:
        """Return what makes the key of a prompt in the journal, None for a row that is refused."""
        made, address = self._transform, self._address
        return lambda prompt: made.journal_key(prompt, address)

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


def _own_id(text: str) -> str | None:
    """Return the id of a row if it is a plain one, without the work of reading all of the row."""
    try:
        row = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(row, dict) or "custom_id" in row or "error_type" in row:
        return None
    id = row.get("id")
    return id if isinstance(id, str) else None


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
