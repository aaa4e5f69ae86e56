"""Records are written in groups, and a group fails as one."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from journals import key, value

from transforms.journal import (
    JournalUnavailable,
)
from transforms.journal.base import NOTHING, Record
from transforms.journal.group_commit import GroupCommit
from transforms.journal.tolerant import TolerantJournal


class _Gate:
    """A `write` that a test opens, and closes, and makes fail."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()
        self.groups, self.error = [], None

    def __call__(self, records):
        self.entered.set()
        assert self.open.wait(30)
        if self.error:
            raise self.error
        self.groups.append([record.value for record in records])


def numbered(number):
    return Record(key(), b"%d" % number, NOTHING)


def test_records_that_arrive_during_a_write_are_written_together():
    gate = _Gate()
    commit = GroupCommit(gate, most=3)
    first = commit.put(numbered(0))
    assert gate.entered.wait(30)
    rest = [commit.put(numbered(n)) for n in range(1, 6)]
    assert not any(future.done() for future in [first, *rest])
    gate.open.set()
    commit.close()
    assert all(future.done() for future in [first, *rest])
    assert gate.groups == [[b"0"], [b"1", b"2", b"3"], [b"4", b"5"]]


def test_a_group_waits_for_more_records_only_while_they_arrive():
    gate = _Gate()
    gate.open.set()
    commit = GroupCommit(gate, linger=3600, quiet=0.01)
    commit.put(numbered(0)).result(timeout=120)
    commit.close()
    assert gate.groups == [[b"0"]]


def test_a_failed_write_fails_the_futures_of_its_group_only():
    gate = _Gate()
    gate.open.set()
    gate.error = JournalUnavailable("full")
    commit = GroupCommit(gate)
    with pytest.raises(JournalUnavailable, match="full"):
        commit.put(numbered(0)).result(timeout=120)
    gate.error = None
    commit.put(numbered(1)).result(timeout=120)
    commit.close()


def test_each_record_of_a_failed_group_counts_as_missed():
    gate = _Gate()
    gate.error = JournalUnavailable("full")
    commit = GroupCommit(gate)

    class Full:
        def record(self, key, value, spent):
            return commit.put(Record(key, value, spent))

    journal = TolerantJournal(Full())
    first = journal.record(key(0), value())
    assert gate.entered.wait(30)
    others = [journal.record(key(number), value()) for number in range(1, 4)]
    gate.open.set()
    commit.close()
    assert [kept.result() for kept in [first, *others]] == [None] * 4
    assert journal.missed == 4


def test_a_tolerant_journal_does_not_hide_a_bug():
    class Broken:
        def record(self, *_):
            future = Future()
            future.set_exception(ZeroDivisionError("a bug"))
            return future

    with pytest.raises(ZeroDivisionError):
        TolerantJournal(Broken()).record(key(), value()).result()
