"""The knee of a server that queues: batches of requests, with times as arguments."""

from __future__ import annotations

import itertools

import pytest

from ritellm.rate_limits.knee import Knee

FULL = 64


class Server:
    """Completes `rate` requests per second; beyond `knee` in flight they queue."""

    def __init__(self, knee=None, ttft=0.1, rate=100.0):
        self.knee, self.ttft, self.rate = knee, ttft, rate

    def answer(self, in_flight):
        """Return (seconds to the first chunk, seconds between two responses)."""
        queued = 0 if self.knee is None else max(0, in_flight - self.knee)
        busy = in_flight if self.knee is None else min(in_flight, self.knee)
        return self.ttft + queued / self.rate, FULL / busy / self.rate


class Window:
    """Keeps as many requests in flight as `knee` allows, at most `size`."""

    def __init__(self, most=FULL, size=FULL):
        self.knee, self.size = Knee(most, 0.0), size
        self.now = 0.0
        self.flying = []

    def run(self, server, requests, in_flight=FULL, lost=()):
        """Complete `requests` requests; return the ceiling after each.

        Of ten requests, those whose number ends in one of `lost` fail.
        """
        ceilings = []
        for _ in range(requests):
            allowed = int(min(in_flight, self.size, self.knee.ceiling))
            while len(self.flying) < max(1, allowed):
                self.flying.append(self.knee.started())
            ttft, gap = server.answer(len(self.flying))
            self.now += gap
            size = min(self.size, self.knee.ceiling)
            number = self.flying.pop(0)
            if number % 10 in lost:
                self.knee.lost(number)
            else:
                self.knee.completed(number, ttft, len(self.flying) + 1, size, self.now)
            ceilings.append(self.knee.ceiling)
        return ceilings


QUEUES, IDLE = Server(knee=20), Server()


def after_a_first_batch(**options):
    """Return a window whose first batch saw a quick server."""
    made = Window(**options)
    made.run(IDLE, 200)
    assert not made.knee.queueing
    return made


def test_numbers_count_the_starts():
    knee = Knee(8, 0.0)
    assert [knee.started() for _ in range(3)] == [0, 1, 2]


def test_a_server_that_does_not_queue_keeps_the_full_ceiling():
    assert set(Window().run(IDLE, 3000)) == {FULL}


def test_a_queue_lowers_the_ceiling_but_not_the_rate():
    made = after_a_first_batch()
    ceilings = made.run(QUEUES, 3000)
    assert made.knee.queueing
    assert 14 <= ceilings[-1] <= 45


@pytest.mark.parametrize("lost", [[3], [1, 3, 5]])
def test_failed_requests_do_not_hide_a_queue(lost):
    made = Window()
    made.run(IDLE, 400, lost=lost)
    ceilings = made.run(QUEUES, 3000, lost=lost)
    assert ceilings[-1] < 45


def test_if_all_requests_fail_the_ceiling_stays():
    made = Window()
    made.run(IDLE, 400, lost=range(10))
    assert set(made.run(IDLE, 400)) == {FULL}
    made.run(QUEUES, 3000)
    assert made.knee.queueing


def test_once_the_queue_is_gone_the_ceiling_rises():
    made = after_a_first_batch()
    made.run(QUEUES, 3000)
    low = made.knee.ceiling
    made.run(IDLE, 10_000)
    assert made.knee.ceiling > 1.5 * low
    made.run(IDLE, 50_000)
    assert not made.knee.queueing


def test_longer_prompts_do_not_count_as_a_queue():
    """The time grows at any number in flight, so each trial restores the ceiling."""
    made = after_a_first_batch()
    ceilings = made.run(Server(ttft=1.0), 20_000)
    assert min(ceilings) >= 0.5 * FULL
    assert ceilings.count(FULL) > 0.8 * len(ceilings)
    assert made.knee.ceiling == FULL


def test_a_trial_that_costs_throughput_restores_the_ceiling():
    """Half the requests in flight complete at half the rate: times fall, but nothing queues."""

    class Slow(Server):
        def answer(self, in_flight):
            return 0.01 * in_flight, FULL / in_flight / self.rate

    made = Window()
    made.run(Server(ttft=0.05), 200)
    ceilings = made.run(Slow(), 20_000)
    assert ceilings.count(FULL) > 0.8 * len(ceilings)
    assert min(ceilings) >= 0.5 * FULL


def test_failed_trials_become_rare():
    made = after_a_first_batch()
    slow = Server(ttft=1.0)

    def trials():
        ceilings = made.run(slow, 10_000)
        return sum(later < earlier for earlier, later in itertools.pairwise(ceilings))

    assert trials() > 2 * trials()


def test_a_window_that_is_not_full_is_no_evidence_of_a_queue():
    made = after_a_first_batch()
    assert set(made.run(Server(ttft=1.0), 3000, in_flight=FULL // 2)) == {FULL}


def test_a_few_slow_responses_do_not_count_as_a_queue():
    made = after_a_first_batch()
    slow = Server(ttft=9.0)
    ceilings = []
    for number in range(3000):
        ceilings += made.run(slow if number % 4 == 0 else IDLE, 1)
    assert set(ceilings) == {FULL}


def test_a_reset_ends_a_trial_and_restores_the_ceiling():
    made = after_a_first_batch()
    while made.run(QUEUES, 1) == [FULL]:
        pass
    made.knee.reset(made.now)
    assert made.knee.ceiling == FULL


def test_a_reset_keeps_a_ceiling_that_a_trial_found():
    made = after_a_first_batch()
    made.run(QUEUES, 3000)
    while True:  # until no trial runs
        before = made.knee.ceiling
        made.run(IDLE, 200)
        if made.knee.ceiling >= before:
            break
    found = made.knee.ceiling
    made.knee.reset(made.now)
    assert made.knee.ceiling == found < FULL


def test_the_ceiling_is_at_least_one():
    made = Window(most=2, size=2)
    made.run(Server(ttft=0.01), 200)
    ceilings = made.run(Server(knee=0.1, ttft=1.0), 20_000)
    assert min(ceilings) >= 1.0


@pytest.mark.parametrize("most", [1, 2, 16, 256])
def test_the_ceiling_stays_within_what_the_caller_allows(most):
    made = Window(most=most, size=most)
    made.run(IDLE, 500)
    for server in (QUEUES, IDLE, Server(ttft=2.0), QUEUES):
        assert all(1 <= each <= most for each in made.run(server, 2000))
