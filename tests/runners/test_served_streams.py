"""Readers of a job whose workers are other processes: they meet in Redis alone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from programs import until
from prompt_sender import door_at, post, text_of

redis = pytest.importorskip("redis")


def test_a_prompt_reaches_a_worker_of_a_pool_and_so_does_the_request_to_stop_it(
    job_server, pool, streaming, models, redis_server
):
    """As on Dataflow: neither the program nor the server knows the worker."""
    key = f"t{uuid4().hex}"
    url = f"{redis_server.url}?key={key}&per_id=true"
    source = f"--source={redis_server.url}?key={key}"
    models.hold()
    with door_at(url, "--prompts_to", "--wait_seconds=120") as door:
        streaming(source, f"--deltas_to={url}", "--turn_seconds=1", *job_server, *pool)
        assert post(door, {"id": "q", "prompt": "one two three"})[0] == 201
        events = door.events("q")
        assert next(events)[0] == "message"
        assert door.get("/streams/q/stop", "POST").status == 202
        *_, (name, end, _) = events
        assert (name, end["outcome"]) == ("end", "stopped")
        until(lambda: models.open == 0)
        models.go()
        assert post(door, {"id": "next", "prompt": "one two"})[0] == 201
        assert text_of(door, "next") == "one two"
        with redis.Redis.from_url(redis_server.url) as client:
            until(lambda: client.xlen(f"{key}:prompts") == 0)
    assert len(models.asked) == 2
