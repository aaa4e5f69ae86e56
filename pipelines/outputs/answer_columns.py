"""Puts the columns of answers into tables: beside the columns of the input, before ours.

Formats with columns make them of a schema and of the JSON of a row. So an answer becomes a part of
that row, and its properties a part of the schema. JSON lines need neither.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.cli.flags.answer import answer_of
from pipelines.outputs.formats.names import WITH_COLUMNS
from pipelines.tables.answers import fields_of, fitted
from ritellm import Answer
from transforms import exact_json
from transforms.elements import Completion, answer_facts

_FACTS = [
    pa.field("reasks", pa.int64()),
    pa.field("answer_mode", pa.string()),
    pa.field("answer_stripped", pa.bool_()),
]


def with_columns(schema: pa.Schema, answer: Answer) -> pa.Schema:
    """Return the columns of the input, `schema`, and those of the answer."""
    own = fields_of(json.loads(answer.json), answer.properties)
    return pa.schema([*schema, *own, *_FACTS])


def put_answers(rows: Any, known_args: argparse.Namespace) -> Any:
    """Return completions for the output format: tables have the answer's columns in `input`."""
    answer = answer_of(known_args)
    if answer is None or known_args.output_format not in WITH_COLUMNS:
        return rows
    types = with_columns(pa.schema([]), answer)
    put = beam.Map(_with_answer, types).with_output_types(Completion)
    return rows | "PutAnswers" >> put


def _with_answer(row: Completion, types: pa.Schema) -> Completion:
    facts = answer_facts(row.completion)
    if facts is None:
        return row
    given = exact_json.loads(row.input) if row.input is not None else {}
    if not isinstance(given, dict):
        given = {"input": given}
    answer = exact_json.loads(facts["text"])
    known = {field.name: field.type for field in types}
    for name, value in answer.items():
        if name in known:
            given[name] = fitted(value, known[name])
        else:
            given.setdefault("other_answer", {})[name] = value
    given["reasks"] = facts.get("reasks")
    given["answer_mode"] = facts.get("mode")
    given["answer_stripped"] = facts.get("stripped")
    return row._replace(input=exact_json.dumps(given))
