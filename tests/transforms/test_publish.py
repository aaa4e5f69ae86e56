"""A live sink gets every element in order, through a bounded queue, or fails the bundle."""

from __future__ import annotations

import functools
import threading

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from fake_server import Wait, chat_events, stream

from transforms import Prompt, Publish, PublishDeltas, SinkUnavailable, StreamCompletions
from transforms.sinks.queue import PublishOptions, PublishQueue

QUICK = PublishOptions(flush_msec=0)
ASKED = Prompt("a", '{"messages":[{"role":"user","content":"one two"}]}')


class Sink:
    """Keeps what it gets, in this process; `script` may raise or wait before it takes a batch."""

    def __init__(self, script=lambda batch: None):
        self.batches = []
        self.script = script
        self.made = self.closed = 0

    def __call__(self):
        self.made += 1
        return self

    def check(self):
        pass

    def publish(self, batch):
        self.script(batch)
        self.batches.append(list(batch))

    def close(self):
        self.closed += 1

    @property
    def items(self):
        return [item for batch in self.batches for item in batch]


SINKS: dict[int, Sink] = {}


def open_sink(number):
    """Return the sink of the test with that number: a job cannot carry it."""
    return SINKS[number]


@pytest.fixture
def sink():
    number = len(SINKS)  # a thread that outlives its test finds its own
    SINKS[number] = Sink()
    SINKS[number].open = functools.partial(open_sink, number)
    return SINKS[number]


def pipeline(flags=()):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def asked(p, server):
    prompts = p | beam.Create([ASKED], reshuffle=False).with_output_types(Prompt)
    return prompts | StreamCompletions("openai/m", base_url=server.base_url, timeout=5)


def test_items_are_published_once_and_in_order(sink):
    queue = PublishQueue(sink, QUICK)
    for number in range(1000):
        queue.put(number)
    queue.flush()
    assert sink.items == list(range(1000))
    queue.close()
    assert sink.closed == 1


def test_an_item_after_a_pause_is_published_at_once(sink):
    out = threading.Event()
    queue = PublishQueue(sink, PublishOptions(flush_msec=60_000), lambda batch: out.set())
    queue.put(1)
    assert out.wait(10)
    queue.close()


def test_items_within_the_pause_are_published_as_one_batch(sink):
    taken = threading.Event()
    queue = PublishQueue(sink, PublishOptions(flush_msec=60_000), lambda batch: taken.set())
    queue.put(0)
    assert taken.wait(10)
    for number in range(1, 100):
        queue.put(number)
    queue.flush()
    assert sink.batches == [[0], list(range(1, 100))]
    queue.close()


def test_a_full_queue_blocks_the_producer_and_drops_nothing(sink):
    may_go, limit = threading.Event(), 10
    sink.script = lambda batch: may_go.wait(10)
    queue = PublishQueue(sink, PublishOptions(flush_msec=0, limit=limit, most=5))
    progress = []

    def put_all():
        for number in range(100):
            queue.put(number)
            progress.append(number)

    putter = threading.Thread(target=put_all)
    putter.start()
    putter.join(0.2)
    assert len(progress) <= 5 + limit
    may_go.set()
    putter.join(10)
    queue.flush()
    assert sink.items == list(range(100))
    queue.close()


def test_an_unavailable_sink_gets_the_same_batch_again(sink):
    tries = []

    def away_twice(batch):
        tries.append(list(batch))
        if len(tries) < 3:
            raise SinkUnavailable("gone")

    sink.script = away_twice
    queue = PublishQueue(sink, QUICK)
    queue.put("a")
    queue.flush()
    assert tries == [["a"]] * 3
    assert sink.items == ["a"]
    assert not queue.failures
    queue.close()


def test_a_sink_that_is_given_up_is_a_failure_and_later_items_get_a_new_one(sink):
    def gone(batch):
        raise SinkUnavailable("gone for good")

    sink.script = gone
    queue = PublishQueue(sink, PublishOptions(flush_msec=0, give_up_after=0))
    queue.put("lost")
    queue.flush()
    assert queue.failures == 1
    assert str(queue.error) == "gone for good"
    sink.script = lambda batch: None
    queue.put("kept")
    queue.flush()
    assert sink.items == ["kept"]
    assert sink.made == 2
    queue.close()


def test_garbage_collection_of_the_queue_ends_its_thread(sink):
    queue = PublishQueue(sink, QUICK)
    queue.put(1)
    queue.flush()
    thread = queue._thread
    del queue
    thread.join(10)
    assert not thread.is_alive()
    assert sink.closed == 1


def test_deltas_reach_the_sink_while_the_stream_is_open(fake_server, sink):
    seen, go_on = threading.Event(), threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(*events[:2], Wait(go_on), *events[2:])

    def look(batch):
        if any(delta.text for delta in batch):
            seen.set()

    sink.script = look
    went_on_by = threading.Thread(target=lambda: seen.wait(10) and go_on.set())
    went_on_by.start()
    with pipeline() as p:
        published = asked(p, fake_server).deltas | PublishDeltas(sink.open)
        texts = published | beam.Map(lambda delta: (delta.id, delta.attempt, delta.seq))
        assert_that(texts, equal_to([("a", 1, seq) for seq in range(6)]))
    went_on_by.join()
    assert "".join(delta.text for delta in sink.items) == "one two"
    assert [delta.seq for delta in sink.items] == list(range(6))
    assert go_on.is_set()


def test_the_sink_is_fused_with_the_transform_that_makes_the_deltas(sink):
    p = pipeline()
    prompts = p | beam.Create([ASKED], reshuffle=False).with_output_types(Prompt)
    (prompts | StreamCompletions("openai/m")).deltas | PublishDeltas(sink.open)
    _, stages = FnApiRunner().create_stages(p.to_runner_api())
    names = [{t.unique_name for t in stage.transforms} for stage in stages]
    asking = next(stage for stage in names if any("Ask" in name for name in stage))
    assert any("PublishDeltas/Publish" in name for name in asking)


def test_a_sink_that_refuses_fails_the_bundle_with_its_error(fake_server, sink):
    def refuse(batch):
        raise ValueError("not in this house")

    sink.script = refuse
    p = pipeline()
    asked(p, fake_server).deltas | PublishDeltas(sink.open)
    with pytest.raises(ValueError, match="not in this house"):
        p.run()


def test_a_repeated_bundle_publishes_its_elements_again(fake_server, sink):
    with pipeline(["--direct_runner_bundle_repeat=1"]) as p:
        p | beam.Create([*"abc"], reshuffle=False) | Publish(sink.open)
    assert sorted(sink.items) == sorted("aabbcc")
