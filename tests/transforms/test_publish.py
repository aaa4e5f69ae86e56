"""A live sink in the core's stage: in order, bounded, patient, and never silently lossy."""

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
from transforms.sinks.queue import Outgoing, Terms

QUICK = Terms(flush_msec=0)
ASKED = Prompt("a", '{"messages":[{"role":"user","content":"one two"}]}')


class Sink:
    """Keeps what it gets, in this process; `script` may raise or wait before it takes a lot."""

    def __init__(self, script=lambda lot: None):
        self.lots = []
        self.script = script
        self.made = self.closed = 0

    def __call__(self):
        self.made += 1
        return self

    def check(self):
        pass

    def publish(self, lot):
        self.script(lot)
        self.lots.append(list(lot))

    def close(self):
        self.closed += 1

    @property
    def items(self):
        return [item for lot in self.lots for item in lot]


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


def test_what_is_put_is_published_once_and_in_order(sink):
    outgoing = Outgoing(sink, QUICK)
    for number in range(1000):
        outgoing.put(number)
    outgoing.flush()
    assert sink.items == list(range(1000))
    outgoing.close()
    assert sink.closed == 1


def test_an_element_after_a_pause_goes_out_without_waiting_for_others(sink):
    out = threading.Event()
    outgoing = Outgoing(sink, Terms(flush_msec=60_000), lambda lot: out.set())
    outgoing.put(1)
    assert out.wait(10)
    outgoing.close()


def test_what_comes_within_the_pause_goes_out_as_one_lot(sink):
    taken = threading.Event()
    outgoing = Outgoing(sink, Terms(flush_msec=60_000), lambda lot: taken.set())
    outgoing.put(0)
    assert taken.wait(10)
    for number in range(1, 100):
        outgoing.put(number)
    outgoing.flush()
    assert sink.lots == [[0], list(range(1, 100))]
    outgoing.close()


def test_who_is_faster_than_the_sink_waits_and_nothing_is_dropped(sink):
    may_go, limit = threading.Event(), 10
    sink.script = lambda lot: may_go.wait(10)
    outgoing = Outgoing(sink, Terms(flush_msec=0, limit=limit, most=5))
    progress = []

    def put_all():
        for number in range(100):
            outgoing.put(number)
            progress.append(number)

    putter = threading.Thread(target=put_all)
    putter.start()
    putter.join(0.2)
    assert len(progress) <= 5 + limit
    may_go.set()
    putter.join(10)
    outgoing.flush()
    assert sink.items == list(range(100))
    outgoing.close()


def test_a_sink_that_is_away_for_a_while_gets_the_same_lot_again(sink):
    tries = []

    def away_twice(lot):
        tries.append(list(lot))
        if len(tries) < 3:
            raise SinkUnavailable("gone")

    sink.script = away_twice
    outgoing = Outgoing(sink, QUICK)
    outgoing.put("a")
    outgoing.flush()
    assert tries == [["a"]] * 3
    assert sink.items == ["a"]
    assert not outgoing.failures
    outgoing.close()


def test_a_sink_that_stays_away_fails_those_who_put_and_takes_from_those_who_come_later(sink):
    def gone(lot):
        raise SinkUnavailable("gone for good")

    sink.script = gone
    outgoing = Outgoing(sink, Terms(flush_msec=0, give_up_after=0))
    outgoing.put("lost")
    outgoing.flush()
    assert outgoing.failures == 1
    assert str(outgoing.error) == "gone for good"
    sink.script = lambda lot: None
    outgoing.put("kept")
    outgoing.flush()
    assert sink.items == ["kept"]
    assert sink.made == 2
    outgoing.close()


def test_a_queue_that_nobody_holds_ends_its_thread(sink):
    outgoing = Outgoing(sink, QUICK)
    outgoing.put(1)
    outgoing.flush()
    thread = outgoing._thread
    del outgoing
    thread.join(10)
    assert not thread.is_alive()
    assert sink.closed == 1


def test_deltas_reach_the_sink_while_the_model_still_speaks(fake_server, sink):
    seen, go_on = threading.Event(), threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(*events[:2], Wait(go_on), *events[2:])

    def look(lot):
        if any(delta.text for delta in lot):
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


def test_the_sink_is_in_one_stage_with_the_core(sink):
    p = pipeline()
    prompts = p | beam.Create([ASKED], reshuffle=False).with_output_types(Prompt)
    (prompts | StreamCompletions("openai/m")).deltas | PublishDeltas(sink.open)
    _, stages = FnApiRunner().create_stages(p.to_runner_api())
    names = [{t.unique_name for t in stage.transforms} for stage in stages]
    asking = next(stage for stage in names if any("Ask" in name for name in stage))
    assert any("PublishDeltas/Publish" in name for name in asking)


def test_a_sink_that_refuses_fails_the_bundle_with_its_own_words(fake_server, sink):
    def refuse(lot):
        raise ValueError("not in this house")

    sink.script = refuse
    p = pipeline()
    asked(p, fake_server).deltas | PublishDeltas(sink.open)
    with pytest.raises(ValueError, match="not in this house"):
        p.run()


def test_a_bundle_that_runs_again_publishes_under_the_same_keys(fake_server, sink):
    with pipeline(["--direct_runner_bundle_repeat=1"]) as p:
        p | beam.Create([*"abc"], reshuffle=False) | Publish(sink.open)
    assert sorted(sink.items) == sorted("aabbcc")
