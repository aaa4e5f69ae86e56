"""What held a job back: counted for its metrics, its report and its last words."""

from __future__ import annotations

import asyncio

import apache_beam as beam
import pytest
from batch_job import Job
from fake_server import api_error

from pipelines.outputs.report import Totals
from pipelines.terminal.summary import _totals
from ritellm.endpoints import Endpoint
from ritellm.providers import PROVIDERS
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits, Pace
from ritellm.types import Request
from transforms import CompletePrompts, Prompt, pacing
from transforms.pacing import Pacing

REQUEST = Request("m", [{"role": "user", "content": "hello"}])
ENDPOINT = Endpoint(PROVIDERS["openai"], "http://h/v1", "k", {})


@pytest.fixture
def job(fake_server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    return Job(fake_server, tmp_path, capsys)


class Clock:
    """A gate on a loop whose time the test moves."""

    def __init__(self, monkeypatch, **limits):
        self.now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now, raising=False)
        self.gate = Gate(Limits(**limits))
        self.queue = self.gate.queue(ENDPOINT, "m")

    async def enter(self):
        """Return a task that waits for its turn, and has had a chance to get it."""
        task = asyncio.ensure_future(self.queue.enter(REQUEST))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    def pass_seconds(self, seconds):
        self.now += seconds
        self.queue._admit()


def on_a_clock(monkeypatch, test, **limits):
    async def run():
        return await test(Clock(monkeypatch, **limits))

    with monkeypatch.context() as patched:
        monkeypatch = patched
        return asyncio.run(run())


# What the gate counts


def test_a_pause_of_the_provider_counts_once_for_all_requests(monkeypatch):
    async def paused(clock):
        clock.queue.pace.window.paused_until = clock.now + 10
        waiting = [await clock.enter() for _ in range(3)]
        clock.pass_seconds(4.0)
        [brake] = clock.gate.brakes
        assert (brake.reason, brake.seconds) == ("pause", 6.0)
        clock.pass_seconds(6.0)
        await asyncio.gather(*waiting)
        clock.pass_seconds(100.0)
        return clock.gate

    gate = on_a_clock(monkeypatch, paused)
    assert gate.held_for["pause"] == 10.0
    assert gate.waited == 10.0


def test_the_callers_own_limit_does_not_count_as_throttling(monkeypatch):
    async def capped(clock):
        waiting = [await clock.enter() for _ in range(2)]
        clock.pass_seconds(3.0)
        [brake] = clock.gate.brakes
        assert brake.reason == "rpm"
        clock.pass_seconds(7.0)
        await asyncio.gather(*waiting)
        return clock.gate

    gate = on_a_clock(monkeypatch, capped, rpm=6)
    assert gate.held_for["rpm"] == 10.0
    assert gate.waited == 0.0


def test_waiting_for_max_in_flight_does_not_count_as_held_back(monkeypatch):
    async def full(clock):
        first = await (await clock.enter())
        second = await clock.enter()
        clock.pass_seconds(5.0)
        assert clock.gate.brakes == []
        first.leave(None)
        await second
        return clock.gate

    gate = on_a_clock(monkeypatch, full, max_in_flight=1)
    assert gate.waited == 0.0
    assert set(gate.held_for.values()) == {0.0}


def test_a_limit_that_delays_no_request_is_not_shown(monkeypatch):
    async def idle(clock):
        clock.queue.pace.window._open = False
        assert clock.queue.pace.brake(clock.now).reason == "limit"
        return clock.gate.brakes

    assert on_a_clock(monkeypatch, idle) == []


def test_requests_are_spread_where_headers_say_that_few_are_left():
    made = Pace(Limits(), 0.0)
    permit = made.start(0.0)
    few = {"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "5s"}
    made.accepted(permit, 0.1, few)
    assert made.holds(made.wait(0.1), 0.1) == "rate"
    none = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "5s"}
    made.accepted(made.start(0.6), 0.7, none)
    assert made.holds(made.wait(0.7), 0.7) == "pause"


def test_a_refusal_counts_under_the_state_at_that_time():
    made = Pace(Limits(), 0.0)
    made.refused(made.start(0.0), 0.1)
    made.window.paused_until = 5.0
    made.refused(made.start(0.2), 0.3)
    assert {reason: n for reason, n in made.refused_by.items() if n} == {"noise": 1, "pause": 1}
    assert (made.refusals, made.sent) == (2, 2)


def test_the_rate_is_that_of_accepted_requests():
    made = Pace(Limits(max_in_flight=1000), 0.0)
    for number in range(100):
        permit = made.start(number / 50)
        if number % 5 == 0:
            made.refused(permit, permit.started + 0.01)
        made.end(permit, permit.started + 0.01)
    assert made.brake(3.0).rate == pytest.approx(40, rel=0.05)


# Sums


def gate_that_has_counted(**counts):
    class Counted:
        sent, refused_by, held_for, waited = 0, {}, {}, 0.0

    made = Counted()
    vars(made).update(counts)
    return made


def test_each_refusal_is_counted_by_one_bundle_thread():
    gate = gate_that_has_counted(sent=5, refused_by={"noise": 2, "limit": 0}, waited=1.5)
    assert pacing.take(gate) == Pacing(5, {"noise": 2}, {}, 1.5)
    assert not pacing.take(gate)
    gate.sent, gate.held_for = 7, {"limit": 0.25}
    assert pacing.take(gate) == Pacing(2, {}, {"limit": 0.25})


def test_the_report_adds_up_the_waits_of_all_processes():
    one, other = Totals(), Totals()
    one.add(Pacing(800, {"noise": 10, "limit": 2}, {"limit": 1.5}))
    other.add(Pacing(200, {"limit": 28}, {"limit": 2.0, "pause": 0.5}))
    one.merge(other)
    report = one.as_dict()
    assert report["refusals"] == {
        "requests": 40,
        "share": 0.04,
        "by": {"limit": 30, "noise": 10},
    }
    assert report["held_back_seconds"] == {"limit": 3.5, "pause": 0.5}


def test_the_summary_shows_refusals_and_what_held_the_job_back():
    totals = Totals()
    totals.completed = 1
    totals.add(Pacing(1000, {"noise": 30, "limit": 10}, {"limit": 75.0, "pause": 0.5}))
    said = "\n".join(_totals({**totals.as_dict(), "model": "openai/m"}, 80))
    assert "the provider refused 40 requests (4 %): 30 as noise, 10 above its limit" in said
    assert "held back: 1:15 by the provider's limit" in said
    assert "pauses" not in said


def test_the_summary_of_a_job_without_refusals_omits_them(job):
    job.write({"id": "a", "prompt": "one"})
    assert job.run() == 0
    assert job.report["refusals"] == {"requests": 0, "share": 0.0, "by": {}}
    assert job.report["held_back_seconds"] == {}
    assert "refused" not in job.printed.out
    assert "held back" not in job.printed.out


def test_refusals_of_a_job_are_in_its_report(job):
    for _ in range(3):
        job.server.enqueue(api_error(429))
    job.write(*({"id": f"r{number}", "prompt": "x"} for number in range(20)))
    assert job.run() == 0
    refusals = job.report["refusals"]
    assert refusals["requests"] == sum(refusals["by"].values()) == 3
    assert refusals["share"] == pytest.approx(3 / 23)
    assert job.report["attempts"] == 23
    assert "the provider refused 3 requests (13 %)" in job.printed.out


def test_a_refusal_of_one_request_is_counted_but_is_not_reported_as_throttling(
    fake_server, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    for _ in range(3):
        fake_server.enqueue(api_error(503))
    request = '{"messages": [{"role": "user", "content": "x"}]}'
    p = beam.Pipeline(runner="FnApiRunner")
    prompts = p | beam.Create([Prompt(f"p{n}", request) for n in range(20)], reshuffle=False)
    prompts | CompletePrompts("openai/m", base_url=fake_server.base_url)
    result = p.run()
    result.wait_until_finish()
    found = result.metrics().query()["counters"]
    counted = {c.key.metric.name: c.committed for c in found}
    assert counted["refusals"] == counted["refusals:noise"] == 3
    assert "cumulativeThrottlingSeconds" not in counted
