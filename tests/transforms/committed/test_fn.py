"""The DoFn of committed streams, on a runner by hand: bundles fail, shards move, workers die."""

from __future__ import annotations

import threading
from dataclasses import replace

import apache_beam as beam
import orjson
import pytest
from apache_beam.coders import registry
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.internal import pickler
from apache_beam.transforms.window import FixedWindows, IntervalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PANE_INFO_UNKNOWN, WindowedValue
from fake_server import Wait, api_error, chat_events, echo, stream
from one_shard import Shard

from ritellm import Finished, follow
from ritellm.structured.paths import parse_path
from transforms import DeadLetter, Delta, Prompt, Record, StreamCompletions
from transforms.committed.commits import Commits
from transforms.committed.fn import CommittedFn
from transforms.committed.streams import _ByShardFn
from transforms.graph.tags import OF_OUTCOME
from transforms.journal import NewJournal
from transforms.records.whole import whole_answer
from transforms.worker.records.checking import Checking
from transforms.worker.records.recording import Recording
from transforms.worker.requests import PromptRequest

CODER = WindowedValueCoder(registry.get_coder(Prompt), FixedWindows(10).get_window_coder())
WINDOW = IntervalWindow(10, 20)


def encoded(id="p1", text="one two three", second=12):
    request = orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode()
    return CODER.encode(WindowedValue(Prompt(id, request), second, (WINDOW,), PANE_INFO_UNKNOWN))


@pytest.fixture
def worker(fake_server):
    """Return a function that starts a worker: a DoFn as another process would get it."""
    started = []

    def start(drain_seconds=60.0, completions=False, records=None, **options):
        options = {"timeout": 5, "base_url": fake_server.base_url, **options}
        made = StreamCompletions("openai/m", **options)
        completer = replace(made._completer, completions=completions, records=records)
        fn = CommittedFn(
            completer,
            made._new_resources,
            CODER,
            OF_OUTCOME,
            "records" if records else "deltas",
            Commits(0.02, 16, drain_seconds),
        )
        fn = pickler.loads(pickler.dumps(fn))
        fn.setup()
        started.append(fn)
        return fn

    yield start
    for fn in started:
        fn.streams.close()
        fn.teardown()


class Held:
    """A script: each answer begins with two words and pauses until `go`."""

    def __init__(self):
        self.go = threading.Event()

    def __call__(self, request):
        if self.go.is_set():
            return echo(request)
        events = chat_events(request.json["messages"][-1]["content"])
        return stream(*events[:3], Wait(self.go), *events[3:])


@pytest.fixture
def held(fake_server):
    script = Held()
    fake_server.script = script
    yield script
    script.go.set()


class Broken:
    """A completer with a fault of ours."""

    def request(self, resources, prompt):
        return PromptRequest(prompt, {})

    async def __call__(self, *_):
        raise ZeroDivisionError


def texts(shard):
    """Return the texts of the prompts that ended, with what a reader makes of the deltas."""
    deltas = [value for value in shard.values() if isinstance(value, Delta)]
    return {e.id: e.text for e in follow(deltas) if isinstance(e, Finished)}


def begun(fn, shard, count=2):
    """Fire the timer until `count` deltas are committed."""
    while len(shard.out) < count:
        shard.fire(fn)


def test_a_prompt_is_answered_over_many_bundles(worker, fake_server):
    fn, shard = worker(), Shard()
    assert shard.send(fn, encoded()) == []
    shard.finish(fn)
    assert texts(shard) == {"p1": "one two three"}
    assert len(fake_server.requests) == 1
    assert len({value.submission for value in shard.values()}) == 1


def test_deltas_have_the_timestamp_and_the_window_of_their_prompt(worker):
    fn, shard = worker(), Shard()
    shard.send(fn, encoded(second=12))
    shard.finish(fn)
    assert {(each.timestamp, each.windows) for each in shard.windowed()} == {
        (Timestamp(12), (WINDOW,))
    }


def test_records_are_committed_once_and_begin_again_in_another_process(worker, held):
    items = Recording(parse_path("$[*]"), Checking())
    first, other, shard = worker(records=items), worker(records=items), Shard()
    shard.send(first, encoded(text="[1, 2, 3]"))
    begun(first, shard, 1)
    held.go.set()
    assert shard.fire(other, fails=True) is not None
    shard.finish(other)
    found = shard.values()
    lost, submission = found[0].submission, found[-1].submission
    assert lost < submission
    assert [(r.index, r.value, r.final) for r in found if r.submission == submission] == [
        (0, "1", False),
        (1, "2", False),
        (2, "3", False),
        (3, None, True),
    ]
    assert {type(each) for each in found} == {Record}
    assert [each.value for each in whole_answer("p1", found)] == ["1", "2", "3"]


def test_a_completion_is_committed_with_its_last_delta(worker):
    fn, shard = worker(completions=True), Shard()
    shard.send(fn, encoded())
    shard.finish(fn)
    *_, final, completion = shard.values()
    assert (final.final, completion.text) == (True, "one two three")
    assert completion.submission == final.submission
    assert shard.tags()[-2:] == [None, "completions"]


def test_with_a_journal_what_was_paid_for_is_not_sent_again(worker, fake_server, tmp_path):
    journal = NewJournal("auto", str(tmp_path))
    shard = Shard()
    for _ in range(2):
        fn = worker(journal=journal)
        shard.send(fn, encoded())
        shard.finish(fn)
        fn.streams.close()
    assert len(fake_server.requests) == 1
    finals = [value for value in shard.values() if value.final]
    assert [orjson.loads(value.outcome).get("replayed", False) for value in finals] == [False, True]


def test_the_timer_is_set_while_a_prompt_is_open_and_holds_the_watermark_there(worker, held):
    fn, shard = worker(), Shard()
    assert shard.due is None
    shard.send(fn, encoded("new", second=14))
    shard.send(fn, encoded("old", second=12))
    assert (shard.hold, shard.at_end) == (12, True)
    begun(fn, shard, 4)
    assert shard.hold == 12
    held.go.set()
    shard.finish(fn)
    assert (shard.due, shard.prompts) == (None, [])


def test_a_bundle_that_fails_gives_the_same_deltas_again(worker, held):
    fn, shard = worker(), Shard()
    shard.send(fn, encoded())
    begun(fn, shard)
    held.go.set()
    while len(lost := shard.fire(fn, fails=True)) < 2:
        pass
    again = shard.fire(fn)
    assert again[: len(lost)] == lost
    shard.finish(fn)
    assert texts(shard) == {"p1": "one two three"}


def test_a_bundle_that_fails_after_it_has_sent_a_prompt_does_not_send_it_twice(worker, fake_server):
    fn, shard = worker(), Shard()
    shard.send(fn, encoded(), fails=True)
    shard.send(fn, encoded())
    shard.finish(fn)
    assert texts(shard) == {"p1": "one two three"}
    assert len(fake_server.requests) == 1


def test_a_bundle_that_fails_after_it_has_sent_a_prompt_again_does_not_send_it_once_more(
    worker, fake_server, held
):
    first, second, shard = worker(), worker(), Shard()
    shard.send(first, encoded())
    begun(first, shard)
    shard.fire(second, fails=True)
    held.go.set()
    shard.finish(second)
    assert texts(shard) == {"p1": "one two three"}
    assert len(fake_server.requests) == 2


def test_a_stream_longer_than_its_log_ends_in_a_process_that_is_full(worker):
    long = " ".join(["word"] * 1500)
    fn, shard = worker(max_in_flight=1), Shard()
    for n in range(10):
        shard.send(fn, encoded(f"p{n}", long))
    shard.finish(fn, seconds=60)
    assert texts(shard) == {f"p{n}": long for n in range(10)}


def test_another_prompt_in_the_place_of_one_whose_bundle_failed_gets_its_own_answer(worker):
    fn, shard = worker(), Shard()
    shard.send(fn, encoded("p1", "of the first"), fails=True)
    shard.send(fn, encoded("p2", "of the second"))
    shard.finish(fn)
    assert texts(shard) == {"p2": "of the second"}


def test_a_worker_that_dies_has_its_prompts_sent_again_by_another(worker, fake_server, held):
    first, shard = worker(), Shard()
    for n in range(50):
        shard.send(first, encoded(f"p{n}", f"one two {n}"))
    while len(texts_begun(shard)) < 50:
        shard.fire(first)
    first.streams.close()
    held.go.set()
    shard.finish(worker())
    assert texts(shard) == {f"p{n}": f"one two {n}" for n in range(50)}
    assert len(fake_server.requests) == 100
    finals = [value.id for value in shard.values() if value.final]
    assert sorted(finals) == sorted(f"p{n}" for n in range(50))


def texts_begun(shard):
    return {value.id for value in shard.values()}


def test_a_shard_that_moves_and_comes_back_is_not_joined(worker, held):
    """The first worker still has its stream, but the state is of a later submission."""
    first, second, shard = worker(), worker(), Shard()
    shard.send(first, encoded())
    begun(first, shard)
    begun(second, shard, 4)
    held.go.set()
    shard.finish(first)
    assert texts(shard) == {"p1": "one two three"}
    names = list(dict.fromkeys(value.submission for value in shard.values()))
    assert len(names) == 3
    assert names == sorted(names)
    assert [value.submission for value in shard.values() if value.final] == names[-1:]


def test_a_prompt_that_fails_is_a_dead_letter_in_its_window(worker, fake_server):
    fake_server.script = lambda request: api_error(400, "no")
    fn, shard = worker(), Shard()
    shard.send(fn, encoded())
    shard.finish(fn)
    [letter] = shard.windowed()
    assert isinstance(letter.value, DeadLetter)
    assert (letter.value.id, letter.timestamp, letter.windows) == ("p1", Timestamp(12), (WINDOW,))
    assert shard.tags() == ["dead_letters"]


def test_an_error_in_the_work_fails_the_bundle_and_the_next_one_sends_again(worker, fake_server):
    fn, shard = worker(), Shard()
    sender = fn.streams._sender
    sound, sender._completer = sender._completer, Broken()
    shard.send(fn, encoded())
    with pytest.raises(ZeroDivisionError):
        shard.finish(fn)
    sender._completer = sound
    shard.finish(fn)
    assert texts(shard) == {"p1": "one two three"}


def test_the_end_of_the_input_waits_for_open_answers(worker, held):
    fn, shard = worker(drain_seconds=60), Shard()
    shard.send(fn, encoded())
    shard.end(fn)
    assert shard.at_end
    held.go.set()
    while shard.at_end:
        shard.end(fn)
    assert texts(shard) == {"p1": "one two three"}
    # Flink waits for the watermark now, and fires no timer in real time any more.
    assert (shard.due, shard.hold) == (None, None)


def test_after_the_drain_time_what_there_is_comes_out_as_incomplete(worker, held, fake_server):
    fn, shard = worker(drain_seconds=0), Shard()
    shard.send(fn, encoded(text="one two three"))
    begun(fn, shard)
    shard.end(fn)
    letter = shard.values()[-1]
    assert shard.tags()[-1] == "incomplete"
    assert (letter.id, letter.error_type, letter.partial_text) == (
        "p1",
        "IncompleteStream",
        "one two ",
    )
    assert (shard.due, shard.at_end) == (None, False)
    fake_server.wait_until(lambda: fake_server.open_streams == 0)


def test_a_process_that_is_full_commits_while_it_waits_for_room(worker, fake_server):
    fn, shard = worker(max_in_flight=1), Shard()
    for n in range(30):
        shard.send(fn, encoded(f"p{n}", f"one {n}"))
        assert fn.streams.open <= 1 + 8 + 1
    shard.finish(fn)
    assert texts(shard) == {f"p{n}": f"one {n}" for n in range(30)}


def test_memory_keeps_nothing_of_prompts_that_are_complete(worker):
    fn, shard = worker(), Shard()
    for n in range(5):
        shard.send(fn, encoded(f"p{n}"))
    shard.finish(fn)
    shard.send(fn, encoded("last"))
    assert len(fn.streams.of(shard.key)) == 1
    shard.finish(fn)


def test_the_stored_prompts_do_not_grow(worker):
    fn, shard = worker(), Shard()
    for n in range(100):
        shard.send(fn, encoded(f"p{n}"))
        shard.fire(fn)
    shard.finish(fn)
    assert shard.prompts == []


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ("hello", "got str; transforms.ToPrompts makes prompts of texts, dicts and rows"),
        (Prompt(None, "{}"), "'id' must be a text, got null; transforms.ToPrompts makes"),
    ],
)
def test_an_element_that_is_no_prompt_becomes_a_dead_letter_in_its_window(worker, element, why):
    by_shard = _ByShardFn(CODER, 16)
    windowed = WindowedValue(element, 12, (WINDOW,), PANE_INFO_UNKNOWN)
    [keyed] = by_shard.process(element, windowed)
    key, encoded = keyed.value
    shard = Shard()
    shard.key = key
    shard.send(worker(), encoded)
    [letter] = shard.values()
    assert isinstance(letter, DeadLetter)
    assert why in letter.message
    assert shard.tags() == ["dead_letters"]
    [found] = shard.windowed()
    assert (found.timestamp, found.windows) == (12, (WINDOW,))
    assert shard.state == []


def test_a_row_is_encoded_as_a_prompt():
    row = beam.Row(id="p1", request="{}", score=7)
    [keyed] = _ByShardFn(CODER, 16).process(row, WindowedValue(row, 12, (WINDOW,)))
    assert CODER.decode(keyed.value[1]).value == Prompt("p1", "{}")
