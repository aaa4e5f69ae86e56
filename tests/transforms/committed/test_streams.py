"""The steps of committed streams as a runner gets them: coders, state, windows; what is refused."""

from __future__ import annotations

import re

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms.window import FixedWindows, GlobalWindows

from transforms import CompletePrompts, Prompt, StreamCompletions
from transforms.committed.streams import check_runner, shard_of


def graph(transform, runner="PrismRunner"):
    p = beam.Pipeline(runner=runner)
    prompts = p | beam.Create([Prompt("p", "{}")]).with_output_types(Prompt)
    windowed = prompts | beam.WindowInto(FixedWindows(60))
    return windowed | transform, p.to_runner_api()


@pytest.fixture
def job():
    return graph(StreamCompletions("openai/m", commit_every=0.2))[1]


def stateful(job):
    """Return the payload of the stateful step."""
    for step in job.components.transforms.values():
        if step.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
            if payload.state_specs:
                return step, payload
    raise AssertionError("no step has state")


def spelled(job, id):
    found = job.components.coders[id]
    inner = ", ".join(spelled(job, each) for each in found.component_coder_ids)
    name = re.search(rb"(\w+Coder)\$", found.spec.payload)
    kind = name[1].decode() if name else found.spec.urn.split(":")[2]
    return f"{kind}({inner})" if inner else kind


def test_what_an_update_has_to_keep(job):
    """A job cannot be updated to a version with other names or coders than these."""
    step, payload = stateful(job)
    assert step.unique_name == "StreamCompletions/Committed/Stream/ParDo(CommittedFn)"
    [input] = step.inputs.values()
    assert spelled(job, job.components.pcollections[input].coder_id) == "kv(varint, bytes)"
    states = payload.state_specs
    assert spelled(job, states["shard"].read_modify_write_spec.coder_id) == "bytes"
    assert spelled(job, states["prompts"].bag_spec.element_coder_id) == "kv(varint, bytes)"
    assert set(payload.timer_family_specs) == {"ts-commit", "ts-end"}


def test_the_shard_of_a_prompt_never_changes():
    assert [shard_of(id, 16) for id in ("", "p1", "p2", "ä", "\ud800")] == [4, 1, 4, 9, 8]


def test_outputs_are_typed_and_have_the_windows_of_the_prompts(job):
    outputs, job = graph(CompletePrompts("openai/m", commit_every=0.2, emit_deltas=True))
    for name in ("deltas", "completions", "dead_letters", "incomplete"):
        found = getattr(outputs, name)
        assert found.windowing.windowfn == FixedWindows(60)
        assert found.element_type.__name__ in ("Delta", "Completion", "DeadLetter")
    step, _ = stateful(job)
    for output in step.outputs.values():
        coder = job.components.coders[job.components.pcollections[output].coder_id]
        assert coder.spec.urn == "beam:coder:row:v1"


def test_state_is_kept_when_a_window_ends(job):
    """An answer may end after the window of its prompt; the state of a window ends with it."""
    step, _ = stateful(job)
    [input] = step.inputs.values()
    strategy = job.components.pcollections[input].windowing_strategy_id
    window_fn = job.components.windowing_strategies[strategy].window_fn
    assert window_fn.urn == GlobalWindows().to_runner_api(None).urn


@pytest.mark.parametrize("runner", ["FnApiRunner", "DirectRunner", "BundleBasedDirectRunner"])
def test_a_runner_without_timers_in_real_time_is_one_sentence(runner):
    with pytest.raises(ValueError, match=r"^commit_every must be omitted on \w+Runner, which has"):
        graph(StreamCompletions("openai/m", commit_every=0.2), runner)


def test_a_batch_job_on_dataflow_is_one_sentence():
    check_runner("DataflowRunner", batch=False)
    with pytest.raises(ValueError, match="pass --streaming to run a streaming job"):
        check_runner("DataflowRunner", batch=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"commit_every": -1}, "commit_every must be 0.02 to 60 seconds, got -1"),
        ({"commit_every": 0.001}, "commit_every must be 0.02 to 60 seconds, got 0.001"),
        ({"commit_every": 1, "shards": 0}, "shards must be at least 1, got 0"),
        ({"commit_every": 1, "drain_seconds": -1}, "drain_seconds must not be negative, got -1"),
    ],
)
def test_values_that_cannot_work_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        StreamCompletions("openai/m", **wrong)


@pytest.mark.parametrize("off", [None, 0])
def test_without_commit_every_the_transform_has_no_state(off):
    _, job = graph(StreamCompletions("openai/m", commit_every=off), "FnApiRunner")
    with pytest.raises(AssertionError, match="no step has state"):
        stateful(job)
