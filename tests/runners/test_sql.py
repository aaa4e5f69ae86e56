"""Beam SQL over completions, deltas and dead letters: Java reads the elements that Python makes."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
import sql_service
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.sql import SqlTransform

from examples.runners import tools
from transforms import CompletePrompts

REQUESTS = {"a": "one two", "b": "three"}
QUERIES = {
    "completions": (
        "SELECT finish_reason, SUM(completion_tokens) AS tokens FROM PCOLLECTION"
        " WHERE cost_usd IS NULL GROUP BY finish_reason",
        [("stop", 3)],
    ),
    "deltas": (
        "SELECT id, MAX(seq) AS newest FROM PCOLLECTION WHERE NOT final GROUP BY id",
        [("a", 4), ("b", 3)],
    ),
    "dead_letters": (
        "SELECT error_type, COUNT(*) AS letters FROM PCOLLECTION GROUP BY error_type",
        [("InvalidRequestError", 1)],
    ),
}


@pytest.fixture(scope="module")
def sql(tmp_path_factory):
    """The address of a service that knows SQL."""
    try:
        with sql_service.running(tmp_path_factory.mktemp("sql")) as address:
            yield address
    except tools.Missing as missing:
        pytest.skip(f"no SQL: {missing}")


def test_sql_reads_completions_deltas_and_dead_letters(sql, fake_server):
    rows = [beam.Row(id=id, request=asking(text)) for id, text in REQUESTS.items()]
    rows.append(beam.Row(id="c", request="no JSON"))
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        model = CompletePrompts("openai/m", base_url=fake_server.base_url, emit_deltas=True)
        done = p | beam.Create(rows) | model
        for name, (query, wanted) in QUERIES.items():
            found = done[name] | f"Sql {name}" >> SqlTransform(query, expansion_service=sql)
            plain = found | f"Tuples {name}" >> beam.Map(tuple)
            assert_that(plain, equal_to(wanted), label=name)


def asking(text):
    return orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode()
