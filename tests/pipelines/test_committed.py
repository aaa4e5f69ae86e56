"""The flags of committed streams: on by default where they can work, one sentence elsewhere."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import stream_complete
from pipelines.cli.flags.commit import commit_options, settle_commits
from pipelines.errors import UsageError


def settled(runner, *flags):
    known_args = stream_complete.parser().parse_args(["--source=stdin", *flags])
    settle_commits(known_args, PipelineOptions([f"--runner={runner}"]))
    return commit_options(known_args)


def test_on_dataflow_streams_are_committed_by_default():
    expected = {"commit_every": 0.2, "shards": 16, "drain_seconds": 30.0}
    assert settled("DataflowRunner") == expected


def test_the_flags_reach_the_transform():
    flags = ["--commit_every=0.5", "--shards=4", "--drain_seconds=90"]
    expected = {"commit_every": 0.5, "shards": 4, "drain_seconds": 90.0}
    assert settled("DataflowRunner", *flags) == expected


@pytest.mark.parametrize("runner", ["DataflowRunner", "FnApiRunner", "FlinkRunner"])
def test_zero_turns_it_off(runner):
    assert settled(runner, "--commit_every=0") == {}


@pytest.mark.parametrize("runner", ["FnApiRunner", "PrismRunner", "FlinkRunner"])
def test_elsewhere_it_is_off_and_refused_in_one_sentence(runner):
    assert settled(runner) == {}
    with pytest.raises(UsageError, match=r"^--commit_every must be 0 or omitted on this runner"):
        settled(runner, "--commit_every=0.2")


@pytest.mark.parametrize("wrong", ["-1", "0.001", "61", "often", "nan"])
def test_other_values_are_refused(wrong):
    with pytest.raises(UsageError, match=f"must be 0, or 0.02 to 60 seconds, got '{wrong}'"):
        settled("DataflowRunner", f"--commit_every={wrong}")
