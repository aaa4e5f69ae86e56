"""What a row costs in the shuffle of a job on many workers: its own bytes, once."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from apache_beam.coders import registry
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from pipelines.inputs import numbering
from pipelines.inputs.prompts import ReadPrompts
from pipelines.inputs.rows import Line, read

TEXT = "x" * 10_000
BODY = {"messages": [{"role": "user", "content": TEXT}]}


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a", "prompt": TEXT},
        {"prompt": TEXT},
        {"id": "a", "messages": BODY["messages"]},
        {"custom_id": "a", "body": BODY},
        {"id": "a", "error_type": "E", "message": "m", "input": {"id": "a", "prompt": TEXT}},
        {"id": "a", "text": TEXT},
    ],
    ids=["prompt", "no id", "messages", "batch request", "failed row", "unusable"],
)
def test_a_shuffle_carries_a_row_once(row):
    line = Line("gs://b/rows.jsonl", "rows.jsonl", 1, orjson.dumps(row).decode())
    keyed = numbering._keyed((line, read(line, by_content=True).row))
    coder = registry.get_coder(tuple[str, numbering._WITH_CONTENT])
    assert len(coder.encode(keyed)) < len(line.text) + 250
    id, group = keyed
    [found] = numbering._first(id, [group])
    if isinstance(found, numbering.Verdict):
        assert len(registry.get_coder(numbering._VERDICT).encode(found)) < len(line.text) + 250
    else:
        coder = registry.get_coder(tuple[str, numbering._LINE])
        assert len(coder.encode(found.value)) < len(line.text) + 250


@pytest.mark.parametrize("spread", [False, True])
def test_rows_are_the_same_with_and_without_a_shuffle(tmp_path, spread):
    rows = [
        {"id": "a", "prompt": "one", "topic": 7},
        {"prompt": "two"},
        {"prompt": "two", "topic": 8},
        {"id": "a", "prompt": "again"},
        {"id": "b"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        found = p | ReadPrompts([str(path)], spread)
        prompts = found.prompts | beam.Map(
            lambda x: (x.id, x.request, x.input, (x.key or "").rpartition(":")[2])
        )
        requests = [
            ("a", _asking("one"), '{"id":"a","prompt":"one","topic":7}', ""),
            ("rows.jsonl:2", _asking("two"), '{"prompt":"two"}', "1"),
            ("rows.jsonl:3", _asking("two"), '{"prompt":"two","topic":8}', "2"),
        ]
        assert_that(prompts, equal_to(requests))
        letters = found.dead_letters | "Letters" >> beam.Map(
            lambda x: (x.id, x.error_type, x.input)
        )
        wanted = [
            ("a", "DuplicateIdError", '{"id":"a","prompt":"again"}'),
            ("b", "RowError", '{"id":"b"}'),
        ]
        assert_that(letters, equal_to(wanted), label="letters")


def _asking(text):
    return orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode()
