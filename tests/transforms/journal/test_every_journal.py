"""Every journal: completions are found again, whatever process died or ran at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from journals import KINDS, keep, key, open_at, value
from started_programs import started

from transforms.journal import (
    JournalInUse,
    JournalUnavailable,
    Spent,
)
from transforms.journal.sqlite.journal import SqliteJournal


@pytest.fixture
def places(request, tmp_path):
    """Return the arguments that open the same journal of a kind repeatedly."""
    numbers = count()

    def place(kind):
        if kind == "redis":
            server = request.getfixturevalue("redis_server")
            return f"{server.url}?prefix={tmp_path.name}-{next(numbers)}"
        return str(tmp_path / ("journal.sqlite" if kind == "sqlite" else "journal"))

    return place


@pytest.fixture(params=KINDS)
def again(request, places):
    """Return a function that closes the journal, if it is open, and opens it."""
    place = places(request.param)
    opened = []

    def reopen():
        while opened:
            opened.pop().close()
        opened.append(open_at(request.param, place))
        return opened[0]

    yield reopen
    while opened:
        opened.pop().close()


# What every journal does


def test_the_next_run_finds_what_was_recorded(again):
    rows = [(key(f"row-{n}", f"question {n}"), value(f"answer {n}")) for n in range(50)]
    keep(again(), *rows)
    journal = again()
    assert [journal.lookup(at) for at, _ in rows] == [answer for _, answer in rows]


def test_a_run_finds_what_it_has_recorded_itself(again):
    journal = again()
    assert journal.lookup(key()) is None
    keep(journal, (key(), value()))
    assert journal.lookup(key()) == value()


def test_another_id_or_another_request_is_not_found(again):
    journal = again()
    keep(journal, (key("row-1", "a"), value()))
    assert journal.lookup(key("row-2", "a")) is None
    assert journal.lookup(key("row-1", "b")) is None


def test_an_equal_request_is_found_under_any_id(again):
    keep(again(), (key("row-1", "a"), value("x")), (key("row-2", "b"), value("y")))
    journal = again()
    assert journal.lookup_equal(key("row-3", "b").request) == value("y")
    assert journal.lookup_equal(key("row-1", "c").request) is None


def test_the_newest_record_of_a_row_counts(again):
    journal = again()
    keep(journal, (key(), value("old")))
    keep(journal, (key(), value("new")))
    assert journal.lookup(key()) == value("new")


@pytest.mark.parametrize(
    "text", ["", 'a "quote", "value": {', "täglich 東京 \U0001f600\n\t\\", "x" * 300_000]
)
def test_ids_and_values_come_back_as_they_were(again, text):
    keep(again(), (key(text[:1000], text), value(text)), (key("other"), value()))
    journal = again()
    assert journal.lookup(key(text[:1000], text)) == value(text)
    assert journal.lookup(key("other")) == value()


def test_spending_adds_up_over_runs(again):
    journal = again()
    keep(journal, (key("1"), value()), (key("2"), value()), spent=Spent(100, 0.25))
    journal.spend(Spent(7, 0.5)).result(timeout=120)
    assert journal.spent() == Spent(207, 1.0)
    keep(again(), (key("3"), value()), spent=Spent(1, 0.5))
    assert again().spent() == Spent(208, 1.5)


def test_any_thread_may_record_and_look_up(again):
    journal = again()

    def work(worker):
        rows = [(key(f"{worker}-{n}"), value(f"{worker}-{n}")) for n in range(40)]
        keep(journal, *rows, spent=Spent(1))
        return [journal.lookup(at) == answer for at, answer in rows]

    with ThreadPoolExecutor(8) as threads:
        assert all(all(found) for found in threads.map(work, range(8)))
    assert again().spent() == Spent(320)


def test_closing_writes_the_waiting_records_and_refuses_new_ones(again):
    journal = again()
    waiting = [journal.record(key(str(n)), value()) for n in range(2000)]
    journal.close()
    assert all(future.done() and future.exception() is None for future in waiting)
    journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.record(key(), value()).result()
    assert again().lookup(key("1999")) == value()


def test_cancelling_a_task_does_not_undo_its_record(again):
    journal = again()

    async def record_and_give_up():
        task = asyncio.ensure_future(asyncio.wrap_future(journal.record(key(), value())))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(record_and_give_up())
    assert again().lookup(key()) == value()


# Processes that die, and processes that meet

CHILD = f"""
import sys
sys.path[:] = {sys.path!r}
from journals import key, keep, open_at, value
kind, place, run, rows = sys.argv[1:]
journal = open_at(kind, place, run)
print("open", flush=True)
for number in range(int(rows)):
    journal.record(key(f"row-{{number}}"), value(f"answer {{number}}")).add_done_callback(
        lambda _, number=number: print(number, flush=True))
sys.stdin.read()
"""


@contextlib.contextmanager
def child(kind, place, run="a run", rows=0):
    """Another process that has the journal open, records rows, and says which are durable."""
    command = [sys.executable, "-c", CHILD, kind, place, run, str(rows)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_kill_9_loses_no_acknowledged_record(kind, places):
    place = places(kind)
    with child(kind, place, rows=100_000) as process:
        acknowledged = [process.stdout.readline() for _ in range(1500)]
        process.kill()
        acknowledged += [line for line in process.stdout if line.endswith("\n")]
    numbers = [int(line) for line in acknowledged]
    with contextlib.closing(open_at(kind, place)) as journal:
        assert all(journal.lookup(key(f"row-{n}")) == value(f"answer {n}") for n in numbers)
    assert len(numbers) < 100_000, "it was killed in the middle"


def test_a_second_run_is_refused_with_the_process_of_the_first(places):
    place = places("sqlite")
    with child("sqlite", place) as process:
        with pytest.raises(JournalInUse, match=f"process {process.pid} .*another --journal"):
            SqliteJournal(place, "another run")
        process.kill()
        process.wait()
        SqliteJournal(place, "another run").close()


def test_the_processes_of_one_run_share_a_journal(places):
    place = places("sqlite")
    with child("sqlite", place, rows=50) as process:
        with contextlib.closing(SqliteJournal(place, "a run")) as journal:
            keep(journal, (key("ours"), value()))
            assert [process.stdout.readline() for _ in range(50)][-1] == "49\n"
            assert journal.lookup(key("row-49")) == value("answer 49")
        with pytest.raises(JournalInUse):
            SqliteJournal(place, "another run")


def test_the_next_run_may_open_a_closed_journal(places):
    place = places("sqlite")
    SqliteJournal(place, "a run").close()
    SqliteJournal(place, "another run").close()


def test_the_next_run_of_a_process_may_open_a_journal_that_is_not_collected_yet(places):
    place = places("sqlite")
    gc.disable()
    try:
        cycle = [SqliteJournal(place, "a run")]
        cycle.append(cycle)
        del cycle
        SqliteJournal(place, "another run").close()
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["folder", "redis"])
def test_two_runs_may_share_a_folder_or_a_server(kind, places):
    place = places(kind)
    with (
        contextlib.closing(open_at(kind, place)) as one,
        contextlib.closing(open_at(kind, place)) as two,
    ):
        keep(one, (key("1"), value("1")), spent=Spent(1))
        keep(two, (key("2"), value("2")), spent=Spent(1))
    with contextlib.closing(open_at(kind, place)) as journal:
        assert journal.lookup(key("1")) == value("1")
        assert journal.lookup(key("2")) == value("2")
        assert journal.spent() == Spent(2)
