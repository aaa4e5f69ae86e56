"""Beam's own transforms take completions, deltas and dead letters as they come: nothing between."""

from __future__ import annotations

import csv

import apache_beam as beam
import orjson
import pyarrow.parquet
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import api_error, chat_events, echo, stream

from transforms import (
    AssembleCompletions,
    CompletePrompts,
    Completion,
    DeadLetter,
    Delta,
    Prompt,
)

ELEMENTS = {"completions": Completion, "deltas": Delta, "dead_letters": DeadLetter}
IDS = {"completions": {"a", "b"}, "deltas": {"a", "b"}, "dead_letters": {"c"}}
TEXTS = {"a": "one two", "b": "three", "c": "bad"}


@pytest.fixture
def done(fake_server):
    """The outputs of a job that runs at the end of the test's `with`."""

    def script(request):
        text = request.json["messages"][-1]["content"]
        if text == "bad":
            return api_error(400, "invalid_request_error", "x", "No.")
        return stream(*chat_events(text))

    def build(p):
        rows = [
            Prompt(id, orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode())
            for id, text in TEXTS.items()
        ]
        model = CompletePrompts("openai/m", base_url=fake_server.base_url, emit_deltas=True)
        found = p | beam.Create(rows) | model
        return {name: found[name] for name in ELEMENTS}

    fake_server.script = script
    return build


def pipeline():
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def written(folder, name):
    found = [path for path in sorted(folder.iterdir()) if path.name.startswith(name)]
    assert found
    return found


def test_parquet(done, tmp_path):
    with pipeline() as p:
        for name, rows in done(p).items():
            rows | f"Write {name}" >> beam.io.WriteToParquet(str(tmp_path / name))
    for name, element in ELEMENTS.items():
        tables = [pyarrow.parquet.read_table(path) for path in written(tmp_path, name)]
        assert all(table.column_names == list(element._fields) for table in tables)
        assert {id for table in tables for id in table["id"].to_pylist()} == IDS[name]
    [table, *_] = [pyarrow.parquet.read_table(path) for path in written(tmp_path, "completions")]
    kinds = {name: str(table.schema.field(name).type) for name in ("text", "ttft", "replayed")}
    assert kinds == {"text": "string", "ttft": "double", "replayed": "bool"}
    assert str(table.schema.field("completion_tokens").type) == "int64"


def test_rows_of_a_parquet_file_are_sent_and_assembled(done, fake_server, tmp_path):
    with pipeline() as p:
        rows = done(p)
        rows["deltas"] | "Deltas" >> beam.io.WriteToParquet(str(tmp_path / "deltas"))
        rows["dead_letters"] | "Letters" >> beam.io.WriteToParquet(str(tmp_path / "letters"))
    fake_server.script = echo
    with pipeline() as p:
        letters = p | "Letters" >> beam.io.ReadFromParquet(str(tmp_path / "letters*"), as_rows=True)
        again = letters | CompletePrompts("openai/m", base_url=fake_server.base_url)
        assert_that(
            again.completions | beam.Map(lambda c: (c.id, c.text)), equal_to([("c", "bad")])
        )
        deltas = p | "Deltas" >> beam.io.ReadFromParquet(str(tmp_path / "deltas*"), as_rows=True)
        whole = deltas | AssembleCompletions()
        texts = whole.completions | "Texts" >> beam.Map(lambda c: (c.id, c.text))
        assert_that(texts, equal_to([("a", "one two"), ("b", "three")]), label="assembled")


def test_avro(done, tmp_path):
    fastavro = pytest.importorskip("fastavro", reason="WriteToAvro needs fastavro")
    with pipeline() as p:
        for name, rows in done(p).items():
            rows | f"Write {name}" >> beam.io.WriteToAvro(str(tmp_path / name))
    for name, element in ELEMENTS.items():
        records = []
        for path in written(tmp_path, name):
            with path.open("rb") as file:
                records += fastavro.reader(file)
        assert {record["id"] for record in records} == IDS[name]
        assert all(list(record) == list(element._fields) for record in records)


def test_json(done, tmp_path):
    pytest.importorskip("pandas", reason="WriteToJson needs pandas")
    with pipeline() as p:
        for name, rows in done(p).items():
            rows | f"Write {name}" >> beam.io.WriteToJson(str(tmp_path / name))
    for name, element in ELEMENTS.items():
        lines = [
            line for path in written(tmp_path, name) for line in path.read_bytes().splitlines()
        ]
        records = [orjson.loads(line) for line in lines]
        assert {record["id"] for record in records} == IDS[name]
        assert all(record.keys() == set(element._fields) for record in records)


def test_csv(done, tmp_path):
    pytest.importorskip("pandas", reason="WriteToCsv needs pandas")
    with pipeline() as p:
        for name, rows in done(p).items():
            rows | f"Write {name}" >> beam.io.WriteToCsv(str(tmp_path / name))
    for name, element in ELEMENTS.items():
        records = []
        for path in written(tmp_path, name):
            with path.open(newline="") as file:
                records += csv.DictReader(file)
        assert {record["id"] for record in records} == IDS[name]
        assert all(list(record) == list(element._fields) for record in records)


def test_data_frames(done):
    pytest.importorskip("pandas", reason="Beam's data frames need pandas")
    from apache_beam.dataframe.convert import to_dataframe, to_pcollection

    with pipeline() as p:
        rows = done(p)
        completions = to_dataframe(rows["completions"], label="completions")
        tokens = completions.groupby("finish_reason").completion_tokens.sum()
        newest = to_dataframe(rows["deltas"], label="deltas").groupby("id").seq.max()
        letters = to_dataframe(rows["dead_letters"], label="letters")
        attempts = letters.groupby("status_code").attempts.sum()
        for name, frame, wanted in (
            ("tokens", tokens, [3]),
            ("newest", newest, [5, 4]),
            ("attempts", attempts, [1]),
        ):
            assert_that(to_pcollection(frame, label=name), equal_to(wanted), label=f"the {name}")


def test_select(done):
    with pipeline() as p:
        rows = done(p)
        texts = rows["completions"] | "Completions" >> beam.Select("id", "text", "cost_usd")
        assert_that(texts | beam.Map(lambda r: (r.id, r.text)), equal_to([*TEXTS.items()][:2]))
        letters = rows["dead_letters"] | "Letters" >> beam.Select("id", "status_code")
        codes = letters | "Codes" >> beam.Map(lambda r: (r.id, r.status_code))
        assert_that(codes, equal_to([("c", 400)]), label="letters")
        finals = rows["deltas"] | "Deltas" >> beam.Select("id", last=lambda d: d.final)
        whole = finals | beam.Filter(lambda r: r.last) | "Ids" >> beam.Map(lambda r: r.id)
        assert_that(whole, equal_to(["a", "b"]), label="deltas")


def test_group_by(done):
    with pipeline() as p:
        rows = done(p)
        by_reason = beam.GroupBy("finish_reason").aggregate_field("completion_tokens", sum, "sum")
        tokens = rows["completions"] | "Completions" >> by_reason
        assert_that(tokens | beam.Map(lambda r: (r.finish_reason, r.sum)), equal_to([("stop", 3)]))
        by_error = beam.GroupBy("error_type").aggregate_field("attempts", sum, "attempts")
        errors = rows["dead_letters"] | "Letters" >> by_error
        named = errors | "Errors" >> beam.Map(lambda r: (r.error_type, r.attempts))
        assert_that(named, equal_to([("BadRequestError", 1)]), label="letters")
        by_id = beam.GroupBy("id").aggregate_field("seq", max, "last")
        deltas = rows["deltas"] | "Deltas" >> by_id | "Ids" >> beam.Map(lambda r: r.id)
        assert_that(deltas, equal_to(["a", "b"]), label="deltas")


def test_the_columns_of_a_selection_keep_their_types():
    p = pipeline()
    prompts = p | beam.Create([Prompt("a", "{}")]).with_output_types(Prompt)
    done = prompts | CompletePrompts("openai/m", emit_deltas=True)
    selected = {
        "completions": ("id", "completion_tokens", "replayed"),
        "deltas": ("id", "seq", "final", "outcome"),
        "dead_letters": ("id", "status_code", "cost_usd"),
    }
    found = {}
    for name, columns in selected.items():
        row = (done[name] | f"Select {name}" >> beam.Select(*columns)).element_type
        found[name] = [column for _, column in row._fields]
    assert found == {
        "completions": [str, int | None, bool],
        "deltas": [str, int, bool, str | None],
        "dead_letters": [str, int | None, float | None],
    }


def test_functions_with_annotations_take_the_elements(done):
    def id_of(row: Completion) -> str:
        return row.id

    def either(row: Completion | DeadLetter) -> str:
        return row.id

    class Id(beam.DoFn):
        def process(self, row: DeadLetter) -> list[str]:
            yield row.id

    with pipeline() as p:
        rows = done(p)
        ids = rows["completions"] | "Ids" >> beam.Map(id_of)
        assert_that(ids, equal_to(["a", "b"]), label="one class")
        both = (rows["completions"], rows["dead_letters"]) | beam.Flatten()
        assert_that(both | "Either" >> beam.Map(either), equal_to(["a", "b", "c"]), label="two")
        failed = rows["dead_letters"] | "Failed" >> beam.ParDo(Id())
        assert_that(failed, equal_to(["c"]), label="a DoFn")
        hinted = beam.Map(lambda row: row.id).with_input_types(Delta).with_output_types(str)
        some = rows["deltas"] | "Hinted" >> hinted | beam.Distinct()
        assert_that(some, equal_to(["a", "b"]), label="a hint")
