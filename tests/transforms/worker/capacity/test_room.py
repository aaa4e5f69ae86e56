"""Places for prompts in flight: who holds one, who rests, and what becomes of them in the end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from fake_server import Wait, api_error, chat_events, chat_stream, stream

from ritellm import AsyncClient, RetryPolicy
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from transforms import CompletePrompts, Prompt
from transforms.worker.capacity.hedging import Hedge, NoHedge
from transforms.worker.capacity.room import ReadAhead, Room
from transforms.worker.completer import Completer
from transforms.worker.recorded.entries import JournalEntries, NoJournal
from transforms.worker.resources import Resources

MANY = 10


async def turns():
    """Let everything that can run on the loop run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def free(room):
    """Return the number of free places."""
    count, held = 0, []
    for _ in range(MANY):
        place = room.place()
        entering = asyncio.ensure_future(place.__aenter__())
        await turns()
        if not entering.done():
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
            break
        held.append(place)
        count += 1
    for place in held:
        await place.__aexit__(None, None, None)
    return count


class Row:
    """A prompt that holds a place, and rests on command."""

    def __init__(self, room):
        self.state = "waits"
        self._room = room
        self._rested, self._over, self._tired = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._run())

    async def _run(self):
        async with self._room.place() as self.place:
            while not self._over.is_set():
                self.state = "sends"
                await self._tired.wait()
                if self._over.is_set():
                    break
                self._tired.clear()
                async with self.place.vacated():
                    self.state = "rests"
                    await self._rested.wait()
                    self._rested.clear()
                    self.state = "waits again"
        self.state = "is over"

    async def rest(self):
        self._tired.set()
        await turns()

    async def wake(self):
        self._rested.set()
        await turns()

    async def end(self):
        self._over.set()
        self._tired.set()
        await turns()

    async def cancel(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def rows_in(room, count):
    rows = [Row(room) for _ in range(count)]
    await turns()
    return rows


def states(rows):
    return [row.state for row in rows]


def test_places_limit_the_rows_that_send():
    async def go():
        rows = await rows_in(Room(2), 3)
        assert states(rows) == ["sends", "sends", "waits"]
        await rows[0].end()
        assert states(rows) == ["is over", "sends", "sends"]
        for row in rows:
            await row.end()

    asyncio.run(go())


def test_a_resting_row_frees_its_place_and_waits_for_one_afterwards():
    async def go():
        room = Room(1)
        first, second = rows = await rows_in(room, 2)
        assert room.resting == 0
        await first.rest()
        assert states(rows) == ["rests", "sends"]
        assert room.resting == 1
        await first.wake()
        assert states(rows) == ["waits again", "sends"]
        assert room.resting == 1
        await second.end()
        assert states(rows) == ["sends", "is over"]
        assert room.resting == 0
        await first.end()
        assert await free(room) == 1

    asyncio.run(go())


@pytest.mark.parametrize("state", ["waits", "sends", "rests", "waits again"])
def test_a_cancelled_row_releases_its_place(state):
    async def go():
        room = Room(1)
        other = Row(room) if state == "waits" else None
        row = Row(room)
        await turns()
        if state in ("rests", "waits again"):
            await row.rest()
        if state == "waits again":
            other = Row(room)
            await turns()
            await row.wake()
        assert row.state == state
        await row.cancel()
        assert room.resting == 0
        if other is not None:
            await other.end()
            assert other.state == "is over"
        return await free(room)

    assert asyncio.run(go()) == 1


def test_an_error_during_a_rest_leaves_all_places_unchanged():
    async def go():
        room = Room(2)
        with pytest.raises(ValueError, match="x"):
            async with room.place() as place, place.vacated():
                raise ValueError("x")
        assert room.resting == 0
        return await free(room)

    assert asyncio.run(go()) == 2


# Two requests of one row (see `hedging`)


def test_two_requests_of_one_row_hold_one_place():
    async def go():
        room = Room(2)
        async with room.place() as place:
            await place.enter()
            assert await free(room) == 1
            place.leave()
            assert await free(room) == 1
        return await free(room)

    assert asyncio.run(go()) == 2


def test_a_row_rests_when_both_of_its_requests_rest():
    async def go():
        room = Room(1)
        async with room.place() as place:
            await place.enter()
            async with place.vacated():
                assert (room.resting, await free(room)) == (0, 0)
                async with place.vacated():
                    assert (room.resting, await free(room)) == (1, 1)
                assert (room.resting, await free(room)) == (0, 0)
        assert room.resting == 0
        return await free(room)

    assert asyncio.run(go()) == 1


def test_two_requests_of_a_row_wait_for_their_place():
    """Both have rested, and another row sends meanwhile."""

    async def go():
        room, sent = Room(1), []

        async def again(name):
            await place.enter()
            sent.append(name)

        async with room.place() as place:
            place.leave()
            [other] = await rows_in(room, 1)
            assert other.state == "sends"
            entering = [asyncio.ensure_future(again(name)) for name in "ab"]
            await turns()
            assert sent == []
            await other.end()
            assert sent == ["a", "b"]
            assert await free(room) == 0
            await asyncio.gather(*entering)
        return await free(room)

    assert asyncio.run(go()) == 1


def test_one_of_two_requests_that_wait_for_their_place_may_be_cancelled():
    async def go():
        room = Room(1)
        async with room.place() as place:
            place.leave()
            [other] = await rows_in(room, 1)
            first, second = (asyncio.ensure_future(place.enter()) for _ in range(2))
            await turns()
            first.cancel()
            await other.end()
            await asyncio.wait_for(second, 5)
            assert await free(room) == 0
            place.leave()
            assert await free(room) == 1
        return await free(room)

    assert asyncio.run(go()) == 1


# Rows that are sent


OK = chat_stream("fine")
FAILED = api_error(500)


def prompt(text):
    request = {"messages": [{"role": "user", "content": text}]}
    return Prompt(text, orjson.dumps(request).decode())


def said(request):
    return request.json["messages"][-1]["content"]


def retries(first_delay):
    return RetryPolicy(num_retries=5, first_delay=first_delay, longest_delay=first_delay)


class Process:
    """The resources of one process; `send` completes one row."""

    def __init__(self, server, places, journal=None, hedge=None, first_delay=0.1):
        self.gate = Gate(Limits(max_in_flight=64))
        self.client = AsyncClient(base_url=server.base_url, api_key="k", gate=self.gate)
        self.room = Room(places)
        params = {"retry": retries(first_delay)}
        self._completer = Completer("openai/m", params, deltas=False, completions=True)
        self._resources = Resources(
            self.client,
            self.room,
            self.gate,
            hedge or NoHedge(),
            NoJournal() if journal is None else JournalEntries(journal),
        )

    def send(self, text):
        request = self._completer.request(self._resources, prompt(text))
        return asyncio.ensure_future(self._completer(self._resources, request, None))

    async def rests(self):
        while not self.room.resting:
            await asyncio.sleep(0)


class SlowJournal:
    """Records durably a moment later; counts its records."""

    def __init__(self):
        self.kept = 0

    def lookup(self, key):
        return None

    def record(self, key, value, spent=None):
        future = Future()

        def keep():
            self.kept += 1
            future.set_result(None)

        threading.Timer(0.005, keep).start()
        return future


def test_places_limit_the_responses_in_flight_or_not_yet_in_the_journal(
    fake_server,
):
    journal, accepted, most = SlowJournal(), [], []
    failing = {f"row {number}" for number in range(0, 24, 3)}

    def script(request):
        most.append(len(accepted) - journal.kept + 1)
        if said(request) in failing:
            failing.discard(said(request))
            return FAILED
        accepted.append(request)
        return OK

    async def go():
        process = Process(fake_server, 4, journal)
        async with process.client:
            rows = [process.send(f"row {number}") for number in range(24)]
            endings = await asyncio.gather(*rows)
            assert await free(process.room) == 4
        return [ending[-1].text for ending in endings]

    fake_server.script = script
    assert asyncio.run(go()) == ["fine"] * 24
    assert not failing
    assert max(most) == 4


def test_a_row_cancelled_during_its_rest_releases_everything(fake_server):
    fake_server.script = lambda request: FAILED

    async def go():
        process = Process(fake_server, 2, first_delay=600.0)
        async with process.client:
            row = process.send("x")
            await asyncio.wait_for(process.rests(), 5)
            assert await free(process.room) == 2
            row.cancel()
            await asyncio.gather(row, return_exceptions=True)
            assert (process.room.resting, process.gate.in_flight) == (0, 0)
            return await free(process.room)

    assert asyncio.run(go()) == 2


@pytest.mark.parametrize("first", ["is late", "rests"])
def test_a_second_request_for_a_row_shares_its_place(fake_server, first):
    held = threading.Event()
    late = stream(*chat_events("late")[:1], Wait(held))
    fake_server.enqueue(late if first == "is late" else FAILED, OK)

    async def go():
        process = Process(fake_server, 1, hedge=Hedge(0.01), first_delay=600.0)
        async with process.client:
            ending = await asyncio.wait_for(process.send("x"), 5)
            assert process.room.resting == 0
            return ending[-1].text, await free(process.room)

    assert asyncio.run(go()) == ("fine", 1)
    held.set()
    assert len(fake_server.requests) == 2


# In a pipeline


def run(server, texts, **options):
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        rows = beam.Create([prompt(text) for text in texts], reshuffle=False)
        (
            p
            | rows.with_output_types(Prompt)
            | CompletePrompts("openai/m", base_url=server.base_url, **options)
        )


def test_the_next_row_is_sent_while_one_rests(fake_server):
    fake_server.enqueue(FAILED)
    run(fake_server, ["first", "second"], max_in_flight=1, retry=retries(0.2))
    assert [said(request) for request in fake_server.requests] == ["first", "second", "first"]


def test_the_number_of_resting_rows_is_limited(fake_server):
    """Each row fails once. The test counts the rows that have begun and not ended."""
    begun, over, most = set(), set(), []

    def script(request):
        text = said(request)
        over.update({text} & begun)
        begun.add(text)
        most.append(len(begun) - len(over))
        return OK if text in over else FAILED

    fake_server.script = script
    run(fake_server, [f"row {n}" for n in range(60)], max_in_flight=2, retry=retries(0.2))
    assert len(over) == 60
    spare = 8
    assert 2 + spare < max(most) <= 2 + spare + 2 * 2


@pytest.mark.parametrize(("resting", "beside"), [(0, 0), (3, 3), (8, 8), (9, 8), (1000, 8)])
def test_up_to_twice_the_limit_may_rest_without_blocking_other_rows(resting, beside):
    ahead, room, spare = ReadAhead(4), Room(4), 8
    room.resting = resting
    assert not ahead.is_full(4 + spare + beside - 1, room)
    assert ahead.is_full(4 + spare + beside, room)
