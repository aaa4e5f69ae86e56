"""Several callers of one key: each keeps to its own limits, and all together to the largest."""

from __future__ import annotations

import asyncio
import math

from ritellm.endpoints import Endpoint
from ritellm.providers import PROVIDERS
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from ritellm.rate_limits.quota import Quotas
from ritellm.rate_limits.stopwatch import Stopwatch
from ritellm.types import Request

ENDPOINT = Endpoint(PROVIDERS["openai"], "http://localhost", "sk-very-secret")
REQUEST = Request("m", [{"role": "user", "content": "x"}])
NONE = math.inf


def sent(*quotas, seconds):
    """Return how many requests each of `quotas` sends, if all try ten times a second."""
    counts = [0] * len(quotas)
    for tenth in range(seconds * 10):
        now = tenth / 10
        for number, quota in enumerate(quotas):
            if quota.requests_ready(now) <= now:
                quota.start(0, now)
                counts[number] += 1
    return counts


def test_callers_with_equal_limits_share_one():
    quotas = Quotas()
    six = [quotas.of(60, None, 0.0) for _ in range(6)]
    assert sum(sent(*six, seconds=60)) == 6 + 59  # a tenth at once, then one a second


def test_a_caller_keeps_to_its_limit_and_all_keep_to_the_largest():
    quotas = Quotas()
    small, large = quotas.of(60, None, 0.0), quotas.of(120, None, 0.0)
    of_small, of_large = sent(small, large, seconds=60)
    assert of_small <= 6 + 60
    assert of_small + of_large <= 12 + 120
    assert of_large > 0


def test_a_caller_without_a_limit_waits_for_none():
    quotas = Quotas()
    quotas.of(60, 100, 0.0).start(1000, 0.0)
    free = quotas.of(None, None, 0.0)
    assert (free.requests_ready(0.0), free.tokens_ready(1e9, 0.0)) == (0.0, 0.0)
    assert (free.rpm, free.tpm) == (NONE, NONE)


def test_tokens_that_a_request_did_not_take_are_given_back_to_all_limits():
    quotas = Quotas()
    small, large = quotas.of(None, 600, 0.0), quotas.of(None, 1200, 0.0)
    small.start(120, 0.0)
    assert large.tokens_ready(1, 0.0) > 0
    small.take(-120, 0.0)
    assert large.tokens_ready(1, 0.0) == 0.0


def test_models_of_one_key_share_the_limit_on_requests():
    async def go():
        gate = Gate(Limits())
        shares = [gate.share(Limits(rpm=10)) for _ in range(2)]
        first = shares[0].queue(ENDPOINT, "m").enter(REQUEST)
        await first
        second = asyncio.ensure_future(shares[1].queue(ENDPOINT, "n").enter(REQUEST))
        await asyncio.sleep(0)
        assert not second.done()
        assert [brake.reason for brake in gate.brakes] == ["rpm"]
        second.cancel()

    asyncio.run(go())


def test_a_caller_that_waits_for_its_own_limit_blocks_no_other():
    async def go():
        gate = Gate(Limits())
        slow, quick = gate.share(Limits(rpm=10)), gate.share(Limits())
        await slow.queue(ENDPOINT, "m").enter(REQUEST)
        waiting = asyncio.ensure_future(slow.queue(ENDPOINT, "m").enter(REQUEST))
        await asyncio.sleep(0)
        await asyncio.wait_for(quick.queue(ENDPOINT, "m").enter(REQUEST), 10)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(go())


def test_callers_learn_together_how_much_a_provider_accepts():
    async def go():
        gate = Gate(Limits())
        small, large = gate.share(Limits(4)), gate.share(Limits(8))
        admissions = [await small.queue(ENDPOINT, "m").enter(REQUEST) for _ in range(4)]
        assert gate.allowed == 4
        large.queue(ENDPOINT, "m")
        admissions[0].accepted({})
        admissions += [await large.queue(ENDPOINT, "m").enter(REQUEST) for _ in range(1)]
        assert (gate.in_flight, gate.sent) == (5, 5)

    asyncio.run(go())


def test_a_gate_holds_no_key_in_readable_form():
    async def go():
        gate = Gate(Limits())
        gate.queue(ENDPOINT, "m")
        assert "sk-very-secret" not in repr(vars(gate))

    asyncio.run(go())


def test_two_waits_at_a_time_count_once():
    watch = Stopwatch()
    watch.hold("a", True, 10.0)
    watch.hold("b", True, 12.0)
    watch.hold("a", False, 15.0)
    assert watch.seconds(16.0) == 6.0
    watch.hold("b", False, 17.0)
    watch.add(16.0, 19.0)  # from 17 on
    assert watch.seconds(100.0) == 9.0
