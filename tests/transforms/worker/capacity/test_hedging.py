"""A late request is sent a second time: the first response counts, the other is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from transforms.worker.capacity.hedging import Hedge, hedged, parse

SOON = 0.001


class Provider:
    """Sends responses in order, each when its event is set; records how they ended."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.given_up, self.cancelled = [], []

    async def ask(self):
        answer = self.answers.pop(0)
        try:
            if answer is None:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(answer)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def give_up(self, answer):
        self.given_up.append(answer)


def run(hedge, provider, calm=True):
    return asyncio.run(hedged(hedge, lambda: calm, provider.ask, provider.give_up))


def test_a_request_with_a_timely_response_is_sent_once():
    provider, hedge = Provider("a", "b"), Hedge(60)
    assert run(hedge, provider) == "a"
    assert (hedge.requests, hedge.extra) == (1, 0)


def test_a_late_request_is_sent_again_and_the_loser_is_cancelled():
    provider, hedge = Provider(None, "b"), Hedge(SOON)
    assert run(hedge, provider) == "b"
    assert hedge.extra == 1
    assert provider.cancelled == [None]


def test_a_failed_second_request_is_given_up_and_the_first_counts():
    late = asyncio.Event()
    asked, lost = [], []

    async def ask():
        asked.append(len(asked))
        if len(asked) == 2:
            late.set()
            raise ValueError("refused")
        await late.wait()
        await asyncio.sleep(0)
        return "a"

    async def give_up(answer):
        lost.append(str(answer))

    assert asyncio.run(hedged(Hedge(SOON), lambda: True, ask, give_up)) == "a"
    assert lost == ["refused"]


def test_if_both_fail_the_error_is_raised():
    with pytest.raises(ValueError, match="refused"):
        run(Hedge(60), Provider(ValueError("refused")))


def test_a_percentile_has_no_delay_before_there_are_responses():
    hedge = Hedge("p95")
    assert hedge.delay() is None
    for _ in range(20):
        hedge.took(1.0)
    assert hedge.delay() == pytest.approx(2.0, rel=0.02)


def test_at_most_one_request_in_twenty_is_sent_again():
    hedge = Hedge(SOON)
    hedge.requests = 100
    assert [hedge.spend() for _ in range(7)] == [True] * 5 + [False] * 2


def test_no_request_is_sent_again_while_the_provider_throttles():
    hedge = Hedge(SOON)

    async def go():
        provider = Provider(None, "b")
        asked = hedged(hedge, lambda: False, provider.ask, provider.give_up)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asked, 20 * SOON)
        return provider

    provider = asyncio.run(go())
    assert hedge.extra == 0
    assert provider.cancelled == [None]


@pytest.mark.parametrize(
    ("after", "wanted"),
    [(None, (None, None)), (2, (2.0, None)), ("2.5", (2.5, None)), ("p95", (None, 0.95))],
)
def test_hedge_after_is_seconds_or_a_percentile(after, wanted):
    assert parse(after) == wanted


@pytest.mark.parametrize("after", ["soon", "p", "p0", "p100", "-1", 0, "px"])
def test_other_values_of_hedge_after_are_refused(after):
    with pytest.raises(ValueError):  # noqa: PT011
        parse(after)
