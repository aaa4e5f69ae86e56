"""The flags about answers with a schema: their columns, and how often the model is asked again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from pipelines.outputs.own_columns import ANSWER_COLUMNS, OWN_COLUMNS
from ritellm.wire.answer_modes import MODES

if TYPE_CHECKING:
    from ritellm import Answer


def add_answer_options(parser: Any) -> None:
    """Add the flags to a parser."""
    made = parser.add_argument_group("answers with a schema")
    schema = made.add_mutually_exclusive_group()
    schema.add_argument(
        "--answer_columns",
        metavar="COLUMNS",
        help="the columns of the answer with their types, for example 'label:enum(good,bad),"
        " score:float, why:str?'. Types: str, int, float, bool, date, datetime, enum(a,b),"
        " list(type); ? allows null. Each answer is checked; the model is asked again for others",
    )
    schema.add_argument(
        "--answer_schema",
        metavar="FILE.json|MODULE:MODEL",
        help="the JSON schema of the answer, an object, or a pydantic model; its properties are the"
        " columns",
    )
    made.add_argument(
        "--reasks",
        type=int,
        default=2,
        metavar="N",
        help="how often the model is asked again for a valid answer, with what was wrong; then the"
        " row fails (default: %(default)s)",
    )
    made.add_argument(
        "--grow_max_tokens",
        type=positive,
        metavar="N",
        help="the max_tokens of the one more request for an answer that was cut off by its length"
        " (default: twice --max_tokens)",
    )
    made.add_argument(
        "--validator",
        metavar="MODULE:FUNCTION",
        help="a function that gets each valid answer, and returns None or what is wrong with it",
    )
    made.add_argument(
        "--answer_mode",
        choices=("auto", *MODES),
        default="auto",
        help="how the model is asked for the schema (default: %(default)s, the best way that is"
        " documented for the provider and the model)",
    )


def answer_of(known_args: argparse.Namespace) -> Answer | None:
    """Return what the flags say of the answer, None without a schema; raises UsageError."""
    columns, schema = known_args.answer_columns, known_args.answer_schema
    if columns is None and schema is None:
        if known_args.validator is not None or known_args.grow_max_tokens is not None:
            raise UsageError(
                "--validator and --grow_max_tokens need --answer_columns or --answer_schema"
            )
        return None
    if getattr(known_args, "output_format", None) == "batch":
        raise UsageError(
            "--output_format batch has no columns for answers; write jsonl, parquet or csv"
        )
    flag = "--answer_columns" if schema is None else "--answer_schema"
    mode = None if known_args.answer_mode == "auto" else known_args.answer_mode
    from ritellm import Answer

    try:
        wanted = columns if schema is None else named_schema(flag, schema)
        answer = Answer(
            wanted, known_args.reasks, known_args.grow_max_tokens, known_args.validator, mode
        )
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    _check_names(flag, answer.properties)
    return answer


def named_schema(flag: str, named: str) -> Any:
    """Return the JSON schema in the file, or the pydantic model, that `named` is."""
    if not named.endswith(".json") and ":" in named and "/" not in named:
        from ritellm.answers.answer import imported

        return imported(named)
    from pipelines.cli.flags.prompts import read_file

    data = read_file(flag, named)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{named} must be JSON: {error}") from None


def _check_names(flag: str, names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        lower = name.lower()
        if lower in OWN_COLUMNS:
            raise UsageError(
                f"{flag}: the column {name!r} has the name of a column of each row; rename it"
            )
        if lower in seen:
            raise UsageError(f"{flag}: {seen[lower]!r} and {name!r} are one column in SQL")
        seen[lower] = name
    if not seen:
        raise UsageError(f"{flag}: the schema must have properties: they are the columns")


def check_apart(answer: Answer | None, inputs: Iterable[str]) -> None:
    """Raise UsageError if a column of the answer is also one of the input."""
    if answer is None:
        return
    taken = {name.lower() for name in inputs}
    for name in (*answer.properties, *ANSWER_COLUMNS):
        if name.lower() in taken:
            raise UsageError(
                f"the column {name!r} of the answer is also a column of the input; rename it in the"
                " schema, or leave the input's column out with --columns"
            )
