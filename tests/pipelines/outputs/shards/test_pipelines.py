"""Shards as steps of a pipeline: bundles that fail and are repeated, and the size of the graph."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from outcomes import completion, failed

from pipelines import batch_complete, batch_job
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.shards.finish import About, Finish, begin_run
from pipelines.outputs.shards.manifest import runs
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.write import Accounts, WriteShards
from transforms.elements import Completion

RUN = "20261130T174005123-3f9a1c"
FACTS = {"model": "openai/m", "input": ["in.jsonl"]}


class FailsOnce(JsonLines):
    """Fails at the first row `bad` of this process."""

    failures = 0

    def encode(self, row):
        if row.id == "bad" and not FailsOnce.failures:
            FailsOnce.failures += 1
            raise RuntimeError("a worker breaks")
        return super().encode(row)


def run(folder, flags, format=None, rows=2):
    settings = ShardSettings(str(folder), RUN, rows=rows)
    begin_run(settings, FACTS)
    ids = [f"{n}" for n in range(5)] + ["bad"]
    with beam.Pipeline(options=PipelineOptions(flags)) as p:
        written = (
            p
            | beam.Create(ids)
            | beam.Map(completion).with_output_types(Completion)
            | "WriteCompletions"
            >> WriteShards(settings, "completions", format or JsonLines(), Accounts())
        )
        refused = (
            p
            | "Failed" >> beam.Create(["f"])
            | "ToFailed" >> beam.Map(failed)
            | "WriteFailed" >> WriteShards(settings, "failed-calls", JsonLines(), Accounts())
        )
        {"a": written, "b": refused} | "WriteReport" >> Finish(settings, About(FACTS, FACTS))


def found(folder, kind="completions"):
    (run,) = runs(str(folder))
    assert run.complete
    lines = [line for s in run.of(kind) for line in (folder / s.name).read_bytes().splitlines()]
    return sorted(orjson.loads(line)["id"] for line in lines)


IDS = ["0", "1", "2", "3", "4", "bad"]
RUNNERS = {
    "repeated": ["--runner=FnApiRunner", "--direct_runner_bundle_repeat=2"],
    "threads": [
        *["--runner=FnApiRunner", "--direct_num_workers=3"],
        "--direct_running_mode=multi_threading",
    ],
    "once": ["--runner=FnApiRunner"],
}


@pytest.mark.parametrize("flags", RUNNERS.values(), ids=RUNNERS)
def test_each_row_is_in_one_shard_and_counted_once(tmp_path, flags):
    run(tmp_path, flags)
    assert found(tmp_path) == IDS
    assert found(tmp_path, "failed-calls") == ["f"]
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert (report["completed"], report["failed"]) == (6, 1)
    listed = {*report["files"], "report.html", "report.json", "_SUCCESS", "_manifest"}
    assert {file.name for file in tmp_path.iterdir()} == listed


def test_a_bundle_that_fails_and_is_retried_leaves_each_row_once(tmp_path):
    FailsOnce.failures = 0
    run(tmp_path, ["--runner=BundleBasedDirectRunner"], FailsOnce())
    assert FailsOnce.failures == 1
    assert found(tmp_path) == IDS
    assert orjson.loads((tmp_path / "report.json").read_bytes())["completed"] == 6
    assert not (tmp_path / "_unfinished").exists()


def test_a_job_without_rows_has_a_report_and_no_shards(tmp_path):
    settings = ShardSettings(str(tmp_path), RUN)
    begin_run(settings, FACTS)
    with beam.Pipeline(runner="FnApiRunner") as p:
        none = (
            p
            | beam.Create([], reshuffle=False)
            | WriteShards(settings, "deltas", JsonLines(), None)
        )
        {"a": none} | Finish(settings, About(FACTS, FACTS))
    assert orjson.loads((tmp_path / "report.json").read_bytes())["files"] == []
    assert (tmp_path / "_SUCCESS").exists()


def transforms(*flags):
    p = beam.Pipeline(runner="FnApiRunner")
    argv = ["--input=in.jsonl", "--output=out", "--model=openai/m", *flags]
    ours = batch_complete.parser().parse_args(argv)
    ours.max_in_flight = 4
    batch_job.build(p, ours, spread=False)
    return [each.unique_name for each in p.to_runner_api().components.transforms.values()]


@pytest.mark.parametrize("flags", [(), ("--keep_order",), ("--emit_deltas", "--columns=a")])
def test_the_graph_of_a_local_job_has_at_most_30_transforms(flags):
    names = transforms(*flags)
    print(*sorted(names), sep="\n")
    assert len(names) <= 30
