"""Shards as steps of a pipeline: bundles that fail and are repeated, and the size of the graph."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from outcomes import completion, failed

from pipelines import batch_complete, batch_job
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.report import Totals
from pipelines.outputs.shards.finish import About, Finish, begin_run, end_run
from pipelines.outputs.shards.manifest import Manifest, runs
from pipelines.outputs.shards.publish import PublishShards, publish
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.write import Accounts, Part, WriteShards
from pipelines.outputs.shards.writer import ShardWriter
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


def run(folder, flags, format=None, rows=2, at_commit=False):
    settings = ShardSettings(str(folder), RUN, rows=rows, at_commit=at_commit)
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
        parts = {"a": written, "b": refused}
        if at_commit:
            parts = {"c": parts | PublishShards(settings)}
        parts | "WriteReport" >> Finish(settings, About(FACTS, FACTS))


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


AT_COMMIT = pytest.mark.parametrize("at_commit", [False, True], ids=["at end", "at commit"])


@AT_COMMIT
@pytest.mark.parametrize("flags", RUNNERS.values(), ids=RUNNERS)
def test_each_row_is_in_one_shard_and_counted_once(tmp_path, flags, at_commit):
    run(tmp_path, flags, at_commit=at_commit)
    assert found(tmp_path) == IDS
    assert found(tmp_path, "failed-calls") == ["f"]
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert (report["completed"], report["failed"]) == (6, 1)
    listed = {*report["files"], "report.html", "report.json", "_SUCCESS", "_manifest"}
    assert {file.name for file in tmp_path.iterdir()} == listed


@AT_COMMIT
def test_a_bundle_that_fails_and_is_retried_leaves_each_row_once(tmp_path, at_commit):
    FailsOnce.failures = 0
    run(tmp_path, ["--runner=BundleBasedDirectRunner"], FailsOnce(), at_commit=at_commit)
    assert FailsOnce.failures == 1
    assert found(tmp_path) == IDS
    assert orjson.loads((tmp_path / "report.json").read_bytes())["completed"] == 6
    assert not (tmp_path / "_unfinished").exists()


def unfinished(folder, count):
    """Write shards of two rows each, as a bundle leaves them, and return the bundle's part."""
    settings = ShardSettings(str(folder), RUN, rows=2, at_commit=True)
    begin_run(settings, FACTS)
    writer = ShardWriter(settings, "completions", JsonLines())
    for n in range(count):
        writer.write(JsonLines().encode(completion(str(n))))
    return settings, Part(None, tuple(writer.take()))


def published(settings, parts):
    with beam.Pipeline(runner="FnApiRunner") as p:
        made = p | beam.Create(parts, reshuffle=False).with_output_types(Part)
        {"a": made} | PublishShards(settings)


def readable(folder):
    (run,) = runs(str(folder))
    return run.rows("completions"), len(run.of("completions")), run.complete


def test_the_shards_of_a_committed_bundle_are_readable_before_the_job_ends(tmp_path):
    settings, part = unfinished(tmp_path, 5)
    assert readable(tmp_path) == (0, 0, False)
    published(settings, [part])
    assert readable(tmp_path) == (5, 3, False)
    assert not list((tmp_path / "_unfinished").iterdir())


def test_publishing_is_repeatable(tmp_path):
    """A worker may die between two renames, or before the runner has heard of them."""
    settings, part = unfinished(tmp_path, 5)
    publish(settings, part.shards[:1])
    Manifest(settings.folder, settings.run, alone=False).add(part.shards)
    published(settings, [part])
    published(settings, [part])
    assert readable(tmp_path) == (5, 3, False)


def test_what_a_bundle_left_that_was_not_committed_is_never_listed_and_goes_at_the_end(tmp_path):
    settings, lost = unfinished(tmp_path, 3)
    assert len(lost.shards) == 2
    end_run(settings, About(FACTS, FACTS), Totals(), ())
    assert readable(tmp_path) == (0, 0, True)
    assert not (tmp_path / "_unfinished").exists()
    assert not list(tmp_path.glob("completions-*"))


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


def transforms(*flags, settings=None):
    p = beam.Pipeline(runner="FnApiRunner")
    argv = ["--input=in.jsonl", "--output=out", "--model=openai/m", *flags]
    ours = batch_complete.parser().parse_args(argv)
    ours.max_in_flight = 4
    batch_job.build(p, ours, spread=settings is not None, settings=settings)
    return [each.unique_name for each in p.to_runner_api().components.transforms.values()]


@pytest.mark.parametrize("flags", [(), ("--keep_order",), ("--emit_deltas", "--columns=a")])
def test_the_graph_of_a_local_job_has_at_most_30_transforms(flags):
    names = transforms(*flags)
    print(*sorted(names), sep="\n")
    assert len(names) <= 30


def test_publishing_at_commit_takes_one_shuffle_for_all_kinds():
    flags = ("--emit_deltas", "--records=$.a[*]")
    at_end = transforms(*flags, settings=ShardSettings("out", RUN))
    at_commit = transforms(*flags, settings=ShardSettings("out", RUN, at_commit=True))
    shuffles = [name for name in {*at_commit} - {*at_end} if name.endswith("GroupByKey")]
    assert shuffles == ["PublishShards/Committed/ReshufflePerKey/GroupByKey"]
