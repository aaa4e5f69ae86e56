"""A prompt over HTTP, through a real source, to a job; its answer, back to who has sent it."""

from __future__ import annotations

import pytest
from fake_server import Stall, chat_events, stream
from programs import until
from prompt_sender import door_at, post, text_of


@pytest.mark.parametrize("source", ["kafka", "pubsub"], indirect=True)
def test_a_prompt_reaches_the_job_through_its_source_and_is_answered(
    source, redis_server, job, fake_server, name
):
    url = f"{redis_server.url}?key={name}&per_id=true"
    fake_server.script = lambda request: stream(*chat_events("Because."))
    to = source.spec
    with (
        door_at(url, f"--prompts_to={to}") as door,
        job(f"--source={source.source}", f"--deltas_to={url}"),
    ):
        status, answer = post(door, {"prompt": "Why?"})
        assert status == 201
        assert text_of(door, answer["id"]) == "Because."
        assert post(door, {"id": "q", "prompt": "How?"})[0] == 201
        assert post(door, {"id": "q", "prompt": "How?"})[0] == 200
        assert text_of(door, "q") == "Because."
        until(source.settled)
    assert len(fake_server.requests) == 2


def test_redis_alone_is_enough_for_prompts_answers_and_stops(redis_server, job, fake_server, name):
    url = f"{redis_server.url}?key={name}&per_id=true"

    def script(request):
        return stream(*chat_events(f"You said {request.json['messages'][-1]['content']}"))

    fake_server.script = script
    with (
        door_at(url, "--prompts_to") as door,
        job(f"--source={redis_server.url}?key={name}", f"--deltas_to={url}") as program,
    ):
        ids = [post(door, {"prompt": f"number {n}"})[1]["id"] for n in range(20)]
        texts = [text_of(door, id) for id in ids]
        assert texts == [f"You said number {n}" for n in range(20)]
        assert program.stop() == 0
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.xlen(f"{name}:prompts") == 0


def test_a_prompt_of_a_job_that_was_killed_is_answered_by_the_next_after_a_reset(
    redis_server, job, fake_server, name
):
    url = f"{redis_server.url}?key={name}&per_id=true"
    events = chat_events(["Half", " of it"])
    fake_server.enqueue(stream(*events[:2], Stall()))
    flags = [f"--source={redis_server.url}?key={name}&lease=2", f"--deltas_to={url}"]
    with door_at(url, "--prompts_to") as door:
        assert post(door, {"id": "q", "prompt": "Why?"})[0] == 201
        with job(*flags) as first:
            seen = door.events("q")
            assert next(seen)[1] == {"text": "Half"}
            first.kill()
        fake_server.enqueue(stream(*events))
        with job(*flags):
            rest = list(seen)
    names = [event for event, _, _ in rest]
    assert (names[0], names[-1]) == ("reset", "end")
    assert "".join(data.get("text", "") for _, data, _ in rest) == "Half of it"
    assert rest[-1][1]["outcome"] == "finished"


def test_a_source_that_is_away_takes_no_prompt(source, kafka, redis_server, name):
    url = f"{redis_server.url}?key={name}&per_id=true"
    with door_at(url, f"--prompts_to={source.spec}") as door:
        kafka.kill()
        try:
            status, answer = post(door, {"id": "q", "prompt": "Why?"})
            assert (status, answer["error"]["code"]) == (503, 503)
            # It may have been taken after all: for a while it is not taken again.
            assert post(door, {"id": "q", "prompt": "Why?"})[0] == 409
        finally:
            kafka.start()
