"""A viewer of growing texts gets what it lacks, and no viewer keeps memory or a stream waiting."""

from __future__ import annotations

import pytest

from pipelines.watch.streams import Streams
from transforms.elements import Prompt
from transforms.worker.capacity import in_flight


class Stream:
    def __init__(self):
        self.attempts, self.texts = 1, {"content": [], "reasoning_content": []}

    def pieces(self, field, start):
        return self.texts[field][start:]


class Request:
    def __init__(self, prompt):
        self.prompt = prompt


class Run:
    def __init__(self, prompt="hello"):
        self.request, self.newest = Request(Prompt.of_text(prompt, "a")), Stream()
        self.number = in_flight.enter(self)

    def say(self, *pieces, field="content"):
        self.newest.texts[field] += pieces

    def end(self):
        in_flight.leave(self.number)


@pytest.fixture(autouse=True)
def nothing_in_flight():
    yield
    for number in in_flight.runs():
        in_flight.leave(number)


class Viewer:
    def __init__(self, streams):
        self.streams, self.known, self.texts, self.labels = streams, {}, {}, {}

    def look(self):
        self.streams.look()
        update = self.streams.since(self.known)
        for place, (text, label, _) in update.items():
            if label is not None:
                self.texts[place], self.labels[place] = "", label
            self.texts[place] += text
        return update


def test_a_text_grows_by_what_is_new():
    run, viewer = Run("a question"), Viewer(Streams())
    run.say("one ", "two ")
    assert viewer.look() == {"0": ["one two ", "a question", False]}
    run.say("three")
    assert viewer.look() == {"0": ["three", None, False]}
    assert viewer.look() == {}
    run.say(" four")
    run.end()
    assert viewer.look() == {"0": [" four", None, True]}
    assert viewer.texts == {"0": "one two three four"}


def test_thoughts_come_before_the_answer():
    run, viewer = Run(), Viewer(Streams())
    run.say("hm ", field="reasoning_content")
    viewer.look()
    run.say("yes", {"type": "text"}, None)
    viewer.look()
    assert viewer.texts == {"0": "hm yes"}


def test_another_attempt_is_told_from_the_first():
    run, viewer = Run(), Viewer(Streams())
    run.say("half an ans")
    viewer.look()
    run.newest = Stream()
    run.newest.attempts = 2
    run.say("whole")
    viewer.look()
    assert viewer.texts == {"0": "half an ans\n[another attempt]\nwhole"}


def test_a_viewer_that_comes_late_or_is_slow_gets_the_end_of_a_text():
    run, streams = Run(), Streams()
    slow = Viewer(streams)
    slow.look()
    for number in range(1_000):
        run.say(f"{number:05} ")
        streams.look()
    end = "".join(f"{number:05} " for number in range(1_000))[-2_000:]
    slow.look()
    late = Viewer(streams)
    late.look()
    assert slow.texts == late.texts == {"0": end}


def test_the_place_of_an_ended_stream_goes_to_the_next_one():
    first, streams = Run("first"), Streams()
    viewer = Viewer(streams)
    viewer.look()
    first.end()
    viewer.look()
    second = Run("second")
    second.say("x")
    assert viewer.look() == {"0": ["x", "second", False]}


def test_more_streams_than_places_wait_for_one():
    runs, streams = [Run(f"{n}") for n in range(5)], Streams(slots=3)
    viewer = Viewer(streams)
    viewer.look()
    assert viewer.labels == {"0": "0", "1": "1", "2": "2"}
    runs[1].end()
    viewer.look()
    viewer.look()
    assert viewer.labels == {"0": "0", "1": "3", "2": "2"}


def test_hostile_texts_are_made_printable():
    run, viewer = Run("\u202edetrevni\x00"), Viewer(Streams())
    run.say("\x1b[2J", "\ud83d", "\u2066x")
    viewer.look()
    assert viewer.labels == {"0": "detrevni␀"}
    assert viewer.texts == {"0": "␛[2J�x"}
