"""One engine per process: what transforms share, what jobs do not, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading

import apache_beam as beam
import httpx
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import FakeServer, api_error, chat_events, stream

from ritellm import AsyncClient
from ritellm.errors import AuthenticationError
from transforms import Caps, CompletePrompts, NewLedger, Prompt, StreamCompletions
from transforms.budget import ledger as ledgers
from transforms.completions import _CompleteFn
from transforms.journal import NewJournal
from transforms.worker import engine
from transforms.worker.capacity.room import Places, Room


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(engine, "_engines", [])  # whatever other tests have left
    yield
    gc.collect()
    engine.forget_idle()
    wait_until(lambda: not engine._engines)


def wait_until(holds):
    waiting = threading.Event()
    for _ in range(3000):
        if holds():
            return
        waiting.wait(0.01)
    assert holds()


def pipeline(*flags):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompt(id, text="hello"):
    request = {"messages": [{"role": "user", "content": text}]}
    return Prompt(id, orjson.dumps(request).decode())


def prompts(p, *rows):
    return p | beam.Create(rows, reshuffle=False).with_output_types(Prompt)


def fn_of(transform, job=""):
    made = _CompleteFn(transform._completer, transform._new_resources, "completions")
    made.job = job
    made.setup()
    return made


def resources(fn):
    return fn._event_loop.resources


def run_all(p, rows, transforms):
    """Send the same prompts through each of `transforms`, side by side."""
    for number, transform in enumerate(transforms):
        rows | f"transform {number}" >> transform
    p.run().wait_until_finish()


# What transforms share


def test_six_transforms_keep_to_one_limit(fake_server):
    p = pipeline()
    rows = prompts(p, *(prompt(f"p{n}") for n in range(12)))
    models = [f"openai/m{n}" for n in range(6)]
    options = {"base_url": fake_server.base_url, "max_in_flight": 3}
    run_all(p, rows, [CompletePrompts(model, **options) for model in models])
    assert len(fake_server.requests) == 6 * 12
    assert 1 <= fake_server.max_open <= 3


def test_a_smaller_limit_holds_beside_a_larger_one():
    async def most_held(*sizes):
        """Let 20 prompts of each room take a place; return the most of each, and of all."""
        places, held, most = Places(), [0] * len(sizes), [0] * (len(sizes) + 1)
        rooms = [Room(size, places) for size in sizes]

        async def hold(number):
            async with rooms[number].place():
                held[number] += 1
                most[number] = max(most[number], held[number])
                most[-1] = max(most[-1], sum(held))
                await asyncio.sleep(0)
                held[number] -= 1

        await asyncio.gather(*(hold(n % len(sizes)) for n in range(20 * len(sizes))))
        return most

    assert asyncio.run(most_held(4, 4))[-1] == 4
    small, large, all_together = asyncio.run(most_held(2, 5))
    assert (small <= 2, large <= 5, all_together) == (True, True, 5)


def test_a_cancelled_prompt_leaves_its_place_to_the_next():
    async def go():
        room = Room(1)
        await room.take()
        waiting = [asyncio.ensure_future(room.take()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        room.give_back()
        waiting[1].cancel()  # it has the place already
        await asyncio.wait_for(waiting[2], 10)

    asyncio.run(go())


def test_equal_keys_are_one_endpoint_whatever_their_variables(fake_server, monkeypatch):
    for name in ("ONE", "OTHER", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-same")
    monkeypatch.setenv("ELSE", "sk-else")
    options = {"base_url": fake_server.base_url}
    one, other, usual, different = fns = [
        fn_of(CompletePrompts("openai/m", **options, **key))
        for key in (
            {"api_key_env": "ONE"},
            {"api_key_env": "OTHER"},
            {},
            {"api_key_env": "ELSE"},
        )
    ]
    assert resources(one).gate is resources(other).gate is resources(usual).gate
    assert resources(different).gate is not resources(one).gate
    for fn in fns:
        fn.teardown()


def test_transforms_of_one_process_have_one_event_loop(fake_server):
    here, there = FakeServer(), fake_server
    with here:
        fns = [
            fn_of(CompletePrompts("openai/m", base_url=server.base_url)) for server in (here, there)
        ]
        assert fns[0]._event_loop.loop is fns[1]._event_loop.loop
        assert resources(fns[0]).gate is not resources(fns[1]).gate
        for fn in fns:
            fn.teardown()


def test_what_was_learned_outlives_the_fn(fake_server):
    options = {"base_url": fake_server.base_url, "max_in_flight": 64}
    first = fn_of(CompletePrompts("openai/m", **options))
    gate, client = resources(first).gate, resources(first).client
    first.teardown()
    again = fn_of(CompletePrompts("openai/m", **options))
    assert resources(again).gate is gate
    assert resources(again).client._http is client._http
    again.teardown()


def test_factories_of_a_users_own_have_endpoints_of_their_own(fake_server):
    def new_client():
        return AsyncClient(base_url=fake_server.base_url, api_key="k")

    def new_other():
        return AsyncClient(base_url=fake_server.base_url, api_key="k")

    one, same, other = fns = [
        fn_of(CompletePrompts("openai/m", new_client=new))
        for new in (new_client, new_client, new_other)
    ]
    assert resources(one).gate is resources(same).gate
    assert resources(one).gate is not resources(other).gate
    for fn in fns:
        fn.teardown()


def test_a_job_uses_the_key_that_is_there_when_it_starts(fake_server, monkeypatch):
    for key in ("sk-first", "sk-second"):
        monkeypatch.setenv("A_KEY", key)
        with pipeline() as p:
            asking = CompletePrompts("openai/m", base_url=fake_server.base_url, api_key_env="A_KEY")
            prompts(p, prompt("a")) | asking
    sent = [request.headers["authorization"] for request in fake_server.requests]
    assert sent == ["Bearer sk-first", "Bearer sk-second"]


def test_the_engine_holds_no_key_in_readable_form(fake_server, monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    fn = fn_of(CompletePrompts("openai/m", base_url=fake_server.base_url, api_key_env="A_KEY"))
    [kept] = engine._engines
    names = [*kept._endpoints._kept, *kept.event_loop.resources.shelf._kept, *kept._resources]
    assert "sk-very-secret" not in repr(names) + repr(vars(resources(fn).gate))
    fn.teardown()


def test_transforms_that_differ_in_their_parameters_send_their_own(fake_server):
    p = pipeline()
    rows = prompts(p, prompt("a"), prompt("b"))
    options = {"base_url": fake_server.base_url, "max_in_flight": 1}
    warm = [CompletePrompts("openai/m", temperature=t, **options) for t in (0, 0.5, 1)]
    run_all(p, rows, [*warm, CompletePrompts("openai/m", max_tokens=5, **options)])
    sent = [(r.json.get("temperature"), r.json.get("max_tokens")) for r in fake_server.requests]
    expected = [(0, None), (0.5, None), (1, None), (None, 5)]
    assert sorted(sent, key=str) == sorted(2 * expected, key=str)


# What jobs do not share


def spend(server, budget):
    """Run a job of five prompts within `budget`; return how many of them were sent."""
    before = len(server.requests)
    with pipeline() as p:
        rows = prompts(p, *(prompt(f"p{n}") for n in range(5)))
        options = {"base_url": server.base_url, "max_tokens": 1, "max_in_flight": 1}
        rows | CompletePrompts("openai/m", budget=budget, **options)
    return len(server.requests) - before


def test_two_jobs_of_a_process_have_a_budget_each(fake_server):
    fake_server.script = lambda request: stream(*chat_events("x"))
    budget = NewLedger(Caps(tokens=18))
    first, second = spend(fake_server, budget), spend(fake_server, budget)
    assert 0 < first == second < 5


def test_two_runs_of_one_pipeline_have_a_budget_each(fake_server):
    budget = NewLedger(Caps(tokens=1))  # too few for any prompt
    p = pipeline()
    prompts(p, prompt("a")) | CompletePrompts(
        "openai/m", base_url=fake_server.base_url, budget=budget
    )
    jobs = [len(ledgers._of_jobs)]
    for _ in range(2):
        p.run().wait_until_finish()
        jobs.append(len(ledgers._of_jobs))
    assert jobs == [jobs[0], jobs[0] + 1, jobs[0] + 2]


def test_transforms_of_one_job_share_its_budget_and_keep_it_without_work(fake_server):
    options = {"base_url": fake_server.base_url, "budget": NewLedger(Caps(tokens=100))}
    one = fn_of(CompletePrompts("openai/m", **options), job="a job")
    ledger = resources(one).budget.ledger
    one.teardown()
    other = fn_of(CompletePrompts("openai/n", **options), job="a job")
    elsewhere = fn_of(CompletePrompts("openai/n", **options), job="another job")
    assert resources(other).budget.ledger is ledger
    assert resources(elsewhere).budget.ledger is not ledger
    other.teardown()
    elsewhere.teardown()


# What is left behind


def kept():
    """Return the threads and the descriptors of this process; other tests may leave or end some."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def grew(before, after, times):
    """Return whether there is one more thread or descriptor for each of `times`."""
    return any(now >= then + times for then, now in zip(before, after, strict=True))


def test_a_setup_that_fails_leaves_nothing_behind():
    asking = CompletePrompts("openai/m", api_key_file="/nowhere/key")
    before = kept()
    for _ in range(20):
        with pytest.raises(AuthenticationError):
            fn_of(asking)
    assert not grew(before, kept(), 20)


def test_a_setup_that_fails_beside_others_leaves_nothing_behind(fake_server):
    other = fn_of(CompletePrompts("openai/m", base_url=fake_server.base_url))
    before = kept()
    for _ in range(20):
        with pytest.raises(AuthenticationError):
            fn_of(CompletePrompts("openai/m", api_key_file="/nowhere/key"))
    assert not grew(before, kept(), 20)
    other.teardown()


def test_jobs_leave_no_more_behind_than_the_first(fake_server, tmp_path):
    def job():
        with pipeline() as p:
            prompts(p, *(prompt(f"p{n}") for n in range(5))) | CompletePrompts(
                "openai/m",
                base_url=fake_server.base_url,
                journal=NewJournal("auto", str(tmp_path)),
                max_in_flight=1,
            )
        gc.collect()
        engine._engines[0].settle()
        wait_until(lambda: len(engine._engines[0]._resources) == 0)
        wait_until(lambda: not [each for each in threading.enumerate() if "journal" in each.name])
        return kept()

    first = job()  # it imports modules and starts the engine
    job()
    job()
    assert not grew(first, job(), 3)


def test_a_journal_is_closed_when_its_job_ends(fake_server, tmp_path):
    for run in ("first", "second"):  # another run is refused while the first has the journal
        with pipeline() as p:
            prompts(p, prompt("a")) | CompletePrompts(
                "openai/m",
                base_url=fake_server.base_url,
                journal=NewJournal("auto", str(tmp_path), run=run),
            )
        gc.collect()
    assert len(fake_server.requests) == 1


def test_an_idle_engine_ends(fake_server):
    fn = fn_of(CompletePrompts("openai/m", base_url=fake_server.base_url))
    loop = fn._event_loop.loop
    engine.forget_idle()  # nothing is idle
    assert len(engine._engines) == 1
    fn.teardown()
    engine.forget_idle()
    assert engine._engines == []
    wait_until(loop.is_closed)


def test_a_fn_without_teardown_ends_its_lease_when_it_is_collected(fake_server):
    fn = fn_of(CompletePrompts("openai/m", base_url=fake_server.base_url))
    del fn
    gc.collect()
    engine._engines[0].settle()
    assert engine._engines[0].leases == 0


# Throttling, and logs


def test_throttling_counts_the_time_that_passes_once_for_all_transforms(fake_server):
    one, other = fns = [
        fn_of(CompletePrompts(model, base_url=fake_server.base_url))
        for model in ("openai/m", "groq/m")
    ]
    assert resources(one).gate is not resources(other).gate
    for fn in fns:
        resources(fn).gate.hold_back(100.0, 110.0)
    assert resources(one).throttled.seconds(200.0) == 10.0
    for fn in fns:
        fn.teardown()


def test_httpx_logs_no_line_for_a_request_of_a_worker(fake_server, caplog):
    base_url = fake_server.base_url

    def new_client():
        transport = httpx.AsyncHTTPTransport()
        return AsyncClient(base_url=base_url, api_key="k", transport=transport)

    caplog.set_level(logging.INFO)
    with pipeline() as p:
        prompts(p, prompt("a")) | CompletePrompts("openai/m", new_client=new_client)
    assert [record for record in caplog.records if record.name == "httpx"] == []
    logging.getLogger("httpx").setLevel(logging.INFO)
    try:
        with pipeline() as p:
            prompts(p, prompt("a")) | CompletePrompts("openai/m", new_client=new_client)
    finally:
        logging.getLogger("httpx").setLevel(logging.NOTSET)
    assert [record for record in caplog.records if record.name == "httpx"] != []


def test_refused_prompts_of_two_transforms_are_all_reported(fake_server):
    fake_server.script = lambda request: api_error(400)
    with pipeline() as p:
        rows = prompts(p, prompt("a"), prompt("b"))
        for number in range(2):
            options = {"base_url": fake_server.base_url}
            done = rows | f"transform {number}" >> StreamCompletions("openai/m", **options)
            ids = done.dead_letters | f"ids {number}" >> beam.Map(lambda letter: letter.id)
            assert_that(ids, equal_to(["a", "b"]), label=f"all {number}")
