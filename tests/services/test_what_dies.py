"""What a reader may rely on when the server, the worker or Redis dies: each is a killed process.

The table of docs/serving.md has these cases, one by one.
"""

from __future__ import annotations

import http.client
import threading
from contextlib import closing, suppress

import pytest
from door import Page, answer, events_in
from fake_server import Stall, Wait, chat_events, stream
from programs import until
from prompt_sender import door_at, text_of

from transforms.sinks.redis import RedisStreams


@pytest.fixture
def url(redis_server, name):
    return f"{redis_server.url}?key={name}&per_id=true"


@pytest.fixture
def publish(url):
    with closing(RedisStreams(url)()) as publisher:
        yield publisher.publish


class Browser:
    """Reads an answer as an `EventSource` does: it comes back, with its position."""

    def __init__(self, door, id):
        self.page, self._door, self._id = Page(), door, id
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self.page.end is None:
            with suppress(OSError, http.client.HTTPException, AssertionError):
                self.page.take(self._door().events(self._id, self.page.position))

    def has(self, text):
        until(lambda: self.page.text == text)

    def ends(self):
        self._thread.join(60)
        assert self.page.end is not None
        return self.page.text, self.page.resets, self.page.end["outcome"]


WORDS = [f"{n} " for n in range(60)]


def test_a_server_that_is_killed_mid_stream_costs_a_reader_nothing(url, publish):
    deltas = answer("q", *WORDS)
    with door_at(url) as door:
        reader = Browser(lambda: door, "q")
        for start in range(0, len(deltas), 20):
            publish(deltas[start : start + 20])
            reader.has("".join(WORDS[: start + 20]))
            if start < 40:
                door.kill()
                door.start()
        assert reader.ends() == ("".join(WORDS), 0, "finished")


def test_two_servers_beside_each_other_serve_one_reader(url, publish):
    deltas = answer("q", *WORDS)
    with door_at(url) as one, door_at(url) as other:
        doors = [one, other]
        reader = Browser(lambda: doors[0], "q")
        publish(deltas[:20])
        reader.has("".join(WORDS[:20]))
        doors.pop(0).kill()
        publish(deltas[20:])
        assert reader.ends() == ("".join(WORDS), 0, "finished")


def test_a_worker_that_is_killed_resets_the_text_and_the_next_one_writes_it(
    url, job, fake_server, tmp_path
):
    events = chat_events(["Half", " of it"])
    fake_server.enqueue(stream(*events[:2], Stall()))
    (tmp_path / "in").mkdir()
    flags = [f"--source=dir:{tmp_path / 'in'}", f"--deltas_to={url}"]
    with door_at(url) as door:
        reader = Browser(lambda: door, "q")
        (tmp_path / "in" / "rows.jsonl").write_text('{"id": "q", "prompt": "Why?"}\n')
        with job(*flags) as first:
            reader.has("Half")
            first.kill()
        fake_server.enqueue(stream(*events))
        with job(*flags):
            assert reader.ends() == ("Half of it", 1, "finished")


def test_redis_that_dies_and_keeps_its_data_costs_a_reader_nothing(
    url, job, fake_server, redis_server, tmp_path
):
    """The job publishes the rest when Redis is back, and the server reads on from there."""
    events = chat_events(["Half", " of it"])
    goes_on = threading.Event()

    def script(request):
        return stream(*events[:2], Wait(goes_on), *events[2:])

    fake_server.script = script
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.jsonl").write_text('{"id": "q", "prompt": "Why?"}\n')
    with door_at(url) as door, job(f"--source=dir:{tmp_path / 'in'}", f"--deltas_to={url}"):
        reader = Browser(lambda: door, "q")
        reader.has("Half")
        redis_server.kill()
        goes_on.set()
        redis_server.start()
        assert reader.ends() == ("Half of it", 0, "finished")
    assert len(fake_server.requests) == 1


def test_redis_that_loses_its_data_ends_an_unfinished_answer_for_late_readers(
    url, publish, redis_server
):
    deltas = answer("q", *WORDS)
    with door_at(url) as door:
        reader = Browser(lambda: door, "q")
        publish(deltas[:20])
        reader.has("".join(WORDS[:20]))
        redis_server.lose_all()
        until(lambda: _published(publish, deltas[20:]))
        # Who had all before the loss misses nothing.
        assert reader.ends() == ("".join(WORDS), 0, "finished")
        with door_at(url) as other:  # which has not read the beginning
            late = other.get("/streams/q", Accept="text/event-stream")
            assert late.status == 410
            assert b"trimmed" in late.read()
        publish(answer("q", "anew", order=2))
        assert text_of(door, "q") == "anew"


def _published(publish, deltas):
    with suppress(Exception):
        publish(deltas)
        return True
    return False


def test_a_reader_that_dies_ends_nothing(url, publish):
    deltas = answer("q", *WORDS)
    with door_at(url) as door:
        publish(deltas[:20])
        dying = door.get("/streams/q", Accept="text/event-stream")
        reader = Browser(lambda: door, "q")
        assert next(events_in(dying))[0] == "message"
        dying.close()
        publish(deltas[20:])
        assert reader.ends() == ("".join(WORDS), 0, "finished")
