"""A reader stops an answer through the server: in the worker that generates it, through Redis."""

from __future__ import annotations

import threading

import apache_beam as beam
from door import Page, serving
from fake_server import Stall, chat_events, stream
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms import CompletePrompts, Prompt, PublishDeltas
from transforms.sinks.redis import RedisStreams
from transforms.sinks.redis_stops import RedisStops

# Beam copies closures, and shares what is in a module.
COMPLETIONS: list = []


def keep(completion):
    COMPLETIONS.append(completion)


SECRET = b"a secret of enough bytes"


def test_a_reader_stops_an_answer_and_gets_its_end(openai_at_hand, fake_server):
    fake_server.enqueue(stream(*chat_events(["Hello", " there"])[:3], Stall()))
    COMPLETIONS.clear()
    with running() as redis, serving(redis.url, wait_seconds=60) as door:
        url = f"{redis.url}?per_id=true"

        def job():
            with beam.Pipeline(runner="FnApiRunner") as p:
                prompts = p | beam.Create([Prompt.of_text("Hi", "q")], reshuffle=False)
                done = prompts | CompletePrompts(
                    "openai/m",
                    base_url=fake_server.base_url,
                    emit_deltas=True,
                    stops=RedisStops(url),
                )
                done.deltas | PublishDeltas(RedisStreams(url))
                done.completions | beam.Map(keep)

        worker = threading.Thread(target=job)
        worker.start()
        page, events = Page(), door.events("q")
        while page.text != "Hello there":
            page.take(events, most=1)
        assert door.get("/streams/q/stop", "POST").status == 202
        page.take(events)
        worker.join()
    assert (page.text, page.end["outcome"]) == ("Hello there", "stopped")
    assert page.end["usage"]["completion_tokens"] > 0
    assert [each.finish_reason for each in COMPLETIONS] == ["stopped"]
    assert (len(fake_server.requests), fake_server.cancelled) == (1, 1)


def test_to_stop_needs_a_right_of_its_own():
    reads, stops = (tokens.sign(SECRET, "q", 1 << 40, may_stop=may) for may in (False, True))
    with running() as redis, serving(redis.url, secret=SECRET) as door:
        assert door.get(f"/streams/q/stop?token={reads}", "POST").status == 401
        assert door.get(f"/streams/q/stop?token={stops}", "POST").status == 202


def test_a_page_of_another_origin_stops_nothing():
    with running() as redis, serving(redis.url) as door:
        response = door.get("/streams/q/stop", "POST", Origin="https://evil.example")
        assert response.status == 403
        assert door.get("/streams/q/stop").status == 405
