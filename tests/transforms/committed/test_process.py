"""Committed streams on the engine of the process: what they share, and what they keep."""

from __future__ import annotations

import gc
import threading

import apache_beam as beam
import orjson
import pytest
from apache_beam.coders import registry
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import PANE_INFO_UNKNOWN, WindowedValue
from fake_server import Wait, chat_events, echo, stream
from one_shard import Shard

from transforms import Caps, CompletePrompts, NewLedger, Prompt, StreamCompletions
from transforms.committed.commits import Commits
from transforms.committed.fn import CommittedFn
from transforms.completions import _CompleteFn
from transforms.graph.tags import OF_OUTCOME
from transforms.journal import NewJournal
from transforms.worker import engine

CODER = WindowedValueCoder(registry.get_coder(Prompt), GlobalWindows().get_window_coder())


@pytest.fixture(autouse=True)
def an_engine_of_its_own(monkeypatch):
    monkeypatch.setattr(engine, "_engines", [])  # whatever other tests have left


def prompt(id):
    request = {"messages": [{"role": "user", "content": f"one two three {id}"}]}
    return Prompt(id, orjson.dumps(request).decode())


def encoded(id):
    windowed = WindowedValue(prompt(id), 12, (GlobalWindow(),), PANE_INFO_UNKNOWN)
    return CODER.encode(windowed)


@pytest.fixture
def started(fake_server):
    """Return a function that returns a DoFn as a worker gets it, before its setup."""
    fns = []

    def start(job="a job", **options):
        made = StreamCompletions("openai/m", base_url=fake_server.base_url, **options)
        commits = Commits(0.02, 16, 60.0)
        fn = CommittedFn(made._completer, made._new_resources, CODER, OF_OUTCOME, "deltas", commits)
        fn.job = job
        fns.append(fn)
        return fn

    yield start
    for fn in fns:
        if hasattr(fn, "streams"):
            fn.streams.close()
            fn.teardown()


def copied(fn):
    return pickler.loads(pickler.dumps(fn))


def ready(fn):
    fn.setup()
    return fn


def test_committed_streams_and_completions_of_one_process_keep_to_one_limit(started, fake_server):
    go = threading.Event()

    def script(request):
        if "held" not in request.json["messages"][-1]["content"]:
            return echo(request)
        first, *rest = chat_events("an answer")
        return stream(first, Wait(go), *rest)

    fake_server.script = script
    fn, shard = ready(started(max_in_flight=3)), Shard()
    for n in range(2):
        shard.send(fn, encoded(f"held {n}"))
    fake_server.wait_until(lambda: fake_server.open_streams == 2)
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        rows = beam.Create([prompt(f"p{n}") for n in range(30)]).with_output_types(Prompt)
        p | rows | CompletePrompts("openai/m", base_url=fake_server.base_url, max_in_flight=3)
    go.set()
    shard.finish(fn)
    assert len(fake_server.requests) == 32
    assert fake_server.max_open == 3


def test_committed_streams_share_connections_and_learned_pace(started, fake_server):
    committed = ready(started()).streams.resources
    asking = CompletePrompts("openai/m", base_url=fake_server.base_url)
    other = _CompleteFn(asking._completer, asking._new_resources, "completions")
    other.setup()
    found = other._event_loop.resources
    assert (found.gate, found.client._http) == (committed.gate, committed.client._http)
    assert found.throttled is committed.throttled
    other.teardown()


def test_the_next_dofn_goes_on_with_the_streams_of_the_one_before(started, fake_server):
    fn, shard = started(), Shard()
    first, second = copied(fn), copied(fn)
    shard.send(ready(first), encoded("a"))
    first.teardown()
    gc.collect()
    shard.finish(ready(second))
    assert [value.final for value in shard.values()][-1]
    assert len(fake_server.requests) == 1
    second.streams.close()


def test_all_dofns_of_a_transform_have_the_same_streams_and_another_job_has_its_own(started):
    fn = started(budget=NewLedger(Caps(tokens=100)))
    here, there = ready(copied(fn)), ready(copied(fn))
    elsewhere = copied(fn)
    elsewhere.job = "another job"
    elsewhere.setup()
    assert here.streams is there.streams
    assert elsewhere.streams is not here.streams
    assert elsewhere.streams.resources.budget.ledger is not here.streams.resources.budget.ledger


def test_a_run_tells_the_dofn_its_job():
    p = beam.Pipeline(runner="PrismRunner")
    rows = p | beam.Create([prompt("a")]).with_output_types(Prompt)
    rows | StreamCompletions("openai/m", commit_every=0.2)
    jobs = {_fn_in(p.to_runner_api()).job for _ in range(2)}
    assert len(jobs) == 2
    assert "" not in jobs


def _fn_in(job):
    for step in job.components.transforms.values():
        if step.unique_name.endswith("ParDo(CommittedFn)"):
            payload = beam.portability.api.beam_runner_api_pb2.ParDoPayload()
            payload.ParseFromString(step.spec.payload)
            return pickler.loads(payload.do_fn.payload)[0]
    raise AssertionError("no step has committed streams")


def test_streams_that_are_dropped_leave_the_engine_and_close_the_journal(started, tmp_path):
    for run in ("first", "second"):  # another run is refused while the first has the journal
        fn, shard = ready(started(journal=NewJournal("auto", str(tmp_path), run=run))), Shard()
        shard.send(fn, encoded("a"))
        shard.finish(fn)
        lease = fn.streams.lease
        fn.streams.close()
        lease.run(_nothing())  # the loop has dropped them
        del lease
        fn.teardown()
        gc.collect()
        engine._engines[0].settle()
        assert engine._engines[0].leases == 0


async def _nothing():
    """Return once the loop has done what it was told before."""
