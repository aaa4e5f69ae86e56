"""The names and coders that Dataflow compares when a running job is updated.

A change of these names and columns affects running jobs: note it in the changelog. A job of an
older version cannot be updated to it without `--transform_name_mapping`, or not at all.
"""

from __future__ import annotations

import subprocess
import sys

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.portability.api import beam_runner_api_pb2, schema_pb2
from job_coders import spelled

from pipelines import batch_complete, batch_job, stream_complete, stream_job
from transforms.elements import Completion, DeadLetter, Delta, Prompt, Record

BATCH = """
CompletePrompts CompletePrompts/Ask CompletePrompts/EmitCompletions
CompletePrompts/EmitDeadLetters CompletePrompts/EmitDeltas CompletePrompts/EmitPacing
ReadPrompts ReadPrompts/ByContent ReadPrompts/ById ReadPrompts/FirstOfEachId ReadPrompts/MatchFiles
ReadPrompts/Number ReadPrompts/ParseRows ReadPrompts/Pattern
ReadPrompts/ReadRows ReadPrompts/SortOut ReadPrompts/Spread ReadPrompts/ToRow ReadPrompts/Together
WriteCompletions WriteDeltas WriteFailedCalls WriteFailedRows
WriteReport WriteReport/Once WriteReport/Write
""".split()
STREAM = """
CompletePrompts CompletePrompts/Committed
PublishCompletions PublishCompletions/Publish
PublishDeltas PublishDeltas/Publish
PublishFailedCalls PublishFailedCalls/Publish
PublishFailedRows PublishFailedRows/Publish
PublishIncomplete PublishIncomplete/Publish
Receive Receive/Parse Receive/Read Receive/ToMessage
""".split()
# Columns in their order; a `?` may be null. New ones go to the end.
COLUMNS = {
    Prompt: "id:STRING request:STRING input:STRING? place:STRING? key:STRING?",
    Delta: "id:STRING attempt:INT64 seq:INT64 text:STRING finish_reason:STRING? chunk:STRING"
    " final:BOOLEAN outcome:STRING? input:STRING? submission:STRING",
    Record: "id:STRING submission:STRING attempt:INT64 index:INT64 path:STRING value:STRING?"
    " valid:BOOLEAN message:STRING? tool_call:INT64? final:BOOLEAN outcome:STRING? input:STRING?",
    Completion: "id:STRING text:STRING finish_reason:STRING? model:STRING? prompt_tokens:INT64?"
    " completion_tokens:INT64? total_tokens:INT64? cached_tokens:INT64? reasoning_tokens:INT64?"
    " ttft:DOUBLE? inter_chunk_p50:DOUBLE? inter_chunk_p95:DOUBLE? seconds:DOUBLE?"
    " ended_at:DOUBLE? attempts:INT64 completion:STRING input:STRING? replayed:BOOLEAN"
    " shared:BOOLEAN cost_usd:DOUBLE? place:STRING? wasted_tokens:INT64 wasted_cost_usd:DOUBLE?"
    " waste_estimated:BOOLEAN submission:STRING?",
    DeadLetter: "id:STRING request:STRING error_type:STRING message:STRING status_code:INT64?"
    " retryable:BOOLEAN attempts:INT64 partial_text:STRING input:STRING?"
    " usage:STRING? cost_usd:DOUBLE? seconds:DOUBLE? ended_at:DOUBLE? place:STRING?"
    " wasted_tokens:INT64 wasted_cost_usd:DOUBLE? waste_estimated:BOOLEAN",
}


def batch():
    """The job of the batch program, as a runner gets it."""
    p = beam.Pipeline(runner="FnApiRunner")
    argv = ["--input=gs://b/x.jsonl", "--output=/o", "--model=openai/m", "--emit_deltas"]
    ours = batch_complete.parser().parse_args(argv)
    ours.max_in_flight = 4
    batch_job.build(p, ours, spread=True)
    return p.to_runner_api()


def stream():
    """The job of the streaming program, as Dataflow gets it."""
    p = beam.Pipeline(runner="PrismRunner")  # like Dataflow, it has timers in real time
    argv = ["--source=pubsub:projects/my-project/subscriptions/s", "--model=openai/m"]
    argv += ["--deltas_to=redis://h/0", "--completions_to=pubsub:projects/my-project/topics/t"]
    ours = stream_complete.parser().parse_args([*argv, "--journal=none"])
    ours.max_in_flight, ours.output, ours.commit_every = 4, ".", 0.2
    stream_job.build(p, ours, None)
    return p.to_runner_api()


@pytest.mark.parametrize(("job", "wanted"), [(batch, BATCH), (stream, STREAM)])
def test_transforms_keep_their_names(job, wanted):
    names = {t.unique_name for t in job().components.transforms.values()} - {""}
    ours = {name for name in names if name.count("/") < 2 and not name.startswith("ref_")}
    assert sorted(ours) == sorted(wanted)


@pytest.mark.parametrize("job", [batch, stream])
def test_transforms_have_different_names(job):
    names = [t.unique_name for t in job().components.transforms.values()]
    assert len(set(names)) == len(names)


def test_the_only_state_of_a_stream_is_that_of_its_shards():
    """`tests/transforms/committed/test_streams.py` pins the coders and the bytes of it."""
    stateful = []
    for step in stream().components.transforms.values():
        assert "group_by_key" not in step.spec.urn
        if step.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
            if payload.state_specs or payload.timer_family_specs:
                stateful.append(step.unique_name)
    assert stateful == ["CompletePrompts/Committed/Stream/ParDo(CommittedFn)"]


LINE = "tuple(string_utf8, string_utf8, varint, string_utf8, string_utf8, string_utf8)"


def test_shuffled_elements_keep_their_coder():
    parts, coder = batch().components, {}
    for transform in parts.transforms.values():
        if transform.spec.urn == "beam:transform:group_by_key:v1":
            [shuffled] = transform.inputs.values()
            coder[transform.unique_name] = spelled(parts, parts.pcollections[shuffled].coder_id)
    assert coder["ReadPrompts/ById/GroupByKey"] == f"kv(string_utf8, kv({LINE}, string_utf8))"
    assert coder["ReadPrompts/ByContent"] == f"kv(string_utf8, {LINE})"


@pytest.mark.parametrize("element", COLUMNS, ids=lambda element: element.__name__)
def test_elements_keep_their_columns(element):
    coder = coders.registry.get_coder(element)
    assert isinstance(coder, coders.RowCoder)
    columns = [
        f"{field.name}:{schema_pb2.AtomicType.Name(field.type.atomic_type)}"
        + "?" * field.type.nullable
        for field in coder.schema.fields
    ]
    assert columns == COLUMNS[element].split()


def test_elements_have_the_same_coders_in_every_process():
    program = (
        "from apache_beam import coders; from transforms import elements\n"
        "for name in ('Prompt', 'Delta', 'Record', 'Completion', 'DeadLetter'):\n"
        "    coder = coders.registry.get_coder(getattr(elements, name))\n"
        "    print(coder.to_runner_api(None).spec.payload.hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    here = [coders.registry.get_coder(e).to_runner_api(None).spec.payload.hex() for e in COLUMNS]
    assert done.stdout.split() == here
