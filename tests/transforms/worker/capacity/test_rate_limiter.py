"""A limit for all workers: a rate limit service must allow each request."""

from __future__ import annotations

import asyncio
import io
import sys
from types import SimpleNamespace

import orjson
import pytest
from rate_limit_server import RateLimitServer

from pipelines import batch_complete, stream_complete
from ritellm.errors import RateLimitError
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from transforms.worker.capacity import rate_limiter

PROMPTS = b"".join(orjson.dumps({"id": f"p{n}", "prompt": "x"}) + b"\n" for n in range(30))


@pytest.fixture(params=["batch", "stream"])
def program(request, fake_server, monkeypatch, tmp_path, capfd):
    """Return a function that runs one of the programs with some flags; exit status and stderr."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_bytes(PROMPTS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PROMPTS)))
    ways = {
        "batch": (batch_complete.main, ["--input=in.jsonl", "--output=out"]),
        "stream": (stream_complete.main, ["--source=stdin", "--deltas_to=jsonl:out"]),
    }

    def run(*flags):
        main, argv = ways[request.param]
        with pytest.raises(SystemExit) as end:
            main([*argv, "--model=openai/m", f"--base_url={fake_server.base_url}", *flags])
        return end.value.code, capfd.readouterr().err

    return run


def test_each_request_waits_until_the_limiter_allows_it(program, fake_server):
    with RateLimitServer(refuses=6) as limiter:
        status, said = program(f"--rate_limiter={limiter.address}/llm")
    assert status == 0, said
    assert len(fake_server.requests) == limiter.granted == 30
    assert len(limiter.asked) > 30
    assert "Throttled" not in said
    assert len({request.SerializeToString() for request in limiter.asked}) == 1
    [descriptor] = limiter.asked[0].descriptors
    assert (limiter.asked[0].domain, limiter.asked[0].hits_addend) == ("llm", 1)
    assert [(entry.key, entry.value) for entry in descriptor.entries] == [("model", "openai/m")]


def test_a_missing_service_is_an_error_at_the_start(program, fake_server):
    status, said = program("--rate_limiter=127.0.0.1:1/llm")
    assert status == 2
    assert "--rate_limiter 127.0.0.1:1: cannot connect" in said.splitlines()[-1]
    assert not fake_server.requests


@pytest.mark.parametrize("wrong", ["127.0.0.1/llm", "host:81", "host:81/", "http://host:81/llm"])
def test_a_wrong_address_is_refused(program, wrong):
    status, said = program(f"--rate_limiter={wrong}")
    assert status == 2
    assert f"expected HOST:PORT/DOMAIN, got {wrong!r}" in said


class Slow:
    """A limiter that takes its time, on a clock that the test moves."""

    def __init__(self, clock, seconds, allows=True):
        self._clock, self._seconds, self._allows = clock, seconds, allows

    def allow(self):
        self._clock.now += self._seconds
        return self._allows


@pytest.fixture
def allowed(monkeypatch):
    """Return a function that calls a limiter once, and returns the wait that the gate counted."""

    def ask(seconds, allows=True):
        async def once():
            clock = SimpleNamespace(now=0.0)
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(loop, "time", lambda: clock.now, raising=False)
            gate = Gate(Limits())
            await rate_limiter.wait_until_allowed(Slow(clock, seconds, allows), gate)
            return gate.waited

        return asyncio.run(once())

    return ask


def test_the_wait_counts_as_throttling_but_the_call_does_not(allowed):
    assert allowed(30.0) == 30.0
    assert allowed(rate_limiter._RESPONSE_SECONDS / 2) == 0.0


def test_a_limiter_that_gives_up_is_an_error_of_the_request(allowed):
    with pytest.raises(RateLimitError, match="own rate limiter"):
        allowed(0.1, allows=False)
