"""A shard's state: which items leave it, in which order, whatever fails, moves and dies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.committed.shard import OpenPrompt, Shard


class FakeLog:
    """A stream that says `length` items, which are its name and a position."""

    def __init__(self, name, length):
        self.name, self.length = name, length
        self.come = self.dropped = 0

    def after(self, cursor):
        if not self.dropped <= cursor <= self.come:
            return None
        return [(self.name, n) for n in range(cursor, self.come)]

    def ends_at(self, cursor):
        return cursor == self.length

    def drop(self, cursor):
        self.dropped = max(self.dropped, cursor)


class FakeProcess:
    """The logs of one process; each stream says three items."""

    names = 0

    def __init__(self, length=3):
        self.length = length
        self.logs = {}

    def find(self, number, name):
        found = [log for (n, _), log in self.logs.items() if (n, log.name) == (number, name)]
        return found[0] if found else None

    def begin(self, number, submission, newer_than):
        if (number, submission) not in self.logs:
            FakeProcess.names += 1
            name = f"{number}.{submission}.{FakeProcess.names}"
            self.logs[number, submission] = FakeLog(name, self.length)
        return self.logs[number, submission]

    def grow(self, most=1):
        for log in self.logs.values():
            log.come = min(log.length, log.come + most)


def taken(shard, logs):
    return [item for _, items in shard.take(logs) for item in items]


def shard_of(*timestamps, logs):
    shard = Shard()
    for timestamp in timestamps:
        shard.admit(timestamp).send(logs)
    return shard


def positions(items):
    return [position for _, position in items]


def test_a_bundle_takes_what_has_come_since_the_one_before():
    logs = FakeProcess()
    shard = shard_of(5, logs=logs)
    assert taken(shard, logs) == []
    logs.grow()
    assert positions(taken(shard, logs)) == [0]
    logs.grow(2)
    assert positions(taken(shard, logs)) == [1, 2]


def test_a_prompt_leaves_the_state_with_its_last_item():
    logs = FakeProcess()
    shard = shard_of(5, logs=logs)
    logs.grow(2)
    taken(shard, logs)
    assert list(shard.open) == [0]
    logs.grow()
    taken(shard, logs)
    assert shard.open == {}


def test_a_bundle_that_failed_gives_the_same_items_again():
    logs = FakeProcess()
    before = shard_of(5, logs=logs).encode()
    logs.grow(2)
    first = taken(Shard.decode(before), logs)
    logs.grow()
    assert taken(Shard.decode(before), logs)[:2] == first


def test_committed_items_are_dropped_from_memory():
    logs = FakeProcess()
    shard = shard_of(5, logs=logs)
    logs.grow(2)
    taken(shard, logs)
    [log] = logs.logs.values()
    assert log.dropped == 0
    shard.drop_committed(logs)
    assert log.dropped == 2


def test_a_stream_that_is_not_here_is_sent_as_the_next_submission():
    shard = shard_of(5, logs=FakeProcess())
    elsewhere = FakeProcess()
    assert taken(shard, elsewhere) == []
    assert shard.open[0].submission == 2
    elsewhere.grow(3)
    assert positions(taken(shard, elsewhere)) == [0, 1, 2]


def test_a_state_that_is_older_than_the_log_sends_again():
    """A runner that restores an old state may do so in a process that has gone on."""
    logs = FakeProcess()
    shard = shard_of(5, logs=logs)
    old = shard.encode()
    logs.grow(2)
    taken(shard, logs)
    shard.drop_committed(logs)
    restored = Shard.decode(old)
    taken(restored, logs)
    assert (restored.open[0].submission, restored.open[0].cursor) == (2, 0)


def test_a_log_with_another_name_is_another_stream():
    """Two processes may send a prompt for the second time: one of the bundles failed."""
    here, there = FakeProcess(), FakeProcess()
    shard = shard_of(5, logs=FakeProcess())
    for process in (here, there):
        taken(Shard.decode(shard.encode()), process)
        process.grow(2)
    taken(shard, here)  # committed: two items of the stream that is here
    items = taken(shard, there)
    assert shard.open[0].submission == 3
    assert items == []


def test_a_log_is_needed_by_its_cursor_or_as_a_later_submission():
    shard = Shard(open={4: OpenPrompt(4, 0, submission=2, name="b")})
    assert shard.needs(4, 2, "b")
    assert shard.needs(4, 3, "c")  # a bundle began it and failed
    assert not shard.needs(4, 1, "a")
    assert not shard.needs(5, 1, "x")


def test_the_watermark_is_held_at_the_oldest_open_prompt():
    logs = FakeProcess(length=1)
    shard = shard_of(30, 10, 20, logs=logs)
    assert shard.hold == 10
    logs.logs[1, 1].come = 1
    taken(shard, logs)
    assert shard.hold == 20
    logs.grow()
    taken(shard, logs)
    assert shard.hold is None


@pytest.mark.parametrize(
    ("set", "now", "due"),
    [
        (0, 1000, 1200),  # no timer is set: the next multiple of `every`
        (0, 1199, 1200),
        (0, 1200, 1400),
        (1200, 1100, 1200),  # the timer that is set stays: arrivals must not put it off
        (1200, 1250, 1200),  # it is late: it fires at once
        (1200, 1400, 1600),  # it was lost
        (9000, 1000, 1200),  # the clock went back
    ],
)
def test_when_the_timer_fires(set, now, due):
    assert Shard(due=set).next_due(now, 200) == due


def test_arrivals_do_not_put_off_the_timer():
    shard = Shard()
    assert {shard.next_due(now, 200) for now in range(1001, 1200)} == {1200}


def test_the_prompts_in_the_bag_are_tidied_when_most_of_them_are_closed():
    logs = FakeProcess(length=1)
    shard = shard_of(*range(100), logs=logs)
    assert not shard.is_bag_stale
    for number in range(90):
        logs.logs[number, 1].come = 1
    taken(shard, logs)
    assert (shard.stored, len(shard.open), shard.is_bag_stale) == (100, 10, True)


STATE = b'[1,8,3,1700000000200,true,null,[[6,5000000,1,"a1f0",40],[7,6000000,2,"b2",0]]]'


def test_the_state_keeps_its_bytes():
    """An updated job reads what the one before has written."""
    shard = Shard(8, 3, 1700000000200, True)
    shard.open = {6: OpenPrompt(6, 5000000, 1, "a1f0", 40), 7: OpenPrompt(7, 6000000, 2, "b2")}
    assert shard.encode() == STATE
    assert Shard.decode(STATE) == shard


@pytest.mark.parametrize("nothing", [None, b""])
def test_no_state_is_an_empty_shard(nothing):
    assert Shard.decode(nothing) == Shard()


def test_a_state_of_a_newer_version_is_refused():
    with pytest.raises(ValueError, match="must have version 1, got 2"):
        Shard.decode(b"[2,0]")


EVENTS = st.lists(
    st.sampled_from("admit grow commit fail move die checkpoint restore".split()), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_whatever_fails_moves_and_dies_each_prompt_ends_once_and_nothing_is_joined(events):
    processes, here = [FakeProcess(), FakeProcess()], 0
    committed, out = Shard().encode(), []
    checkpoint = committed, []

    def bundle(work, fails=False):
        nonlocal committed, out
        shard = Shard.decode(committed)
        shard.drop_committed(processes[here])
        new = work(shard, processes[here]) or []
        if not fails:
            committed, out = shard.encode(), out + new

    for event in [*events, *["grow", "commit"] * 8]:
        if event == "admit":
            bundle(lambda shard, logs: shard.admit(0).send(logs) and None)
        elif event == "grow":
            processes[here].grow()
        elif event in ("commit", "fail"):
            bundle(taken, fails=event == "fail")
        elif event == "move":
            here = 1 - here
        elif event == "die":
            processes[here] = FakeProcess()
        elif event == "checkpoint":
            checkpoint = committed, out
        else:
            committed, out = checkpoint

    shard = Shard.decode(committed)
    assert shard.open == {}
    for number in range(shard.next_number):
        mine = [item for item in out if item[0].startswith(f"{number}.")]
        newest = mine[-1][0]
        assert [item for item in mine if item[0] == newest] == [(newest, n) for n in range(3)]
        for name in {name for name, _ in mine}:  # what a reader sees of any submission has no gap
            seen = positions(item for item in mine if item[0] == name)
            assert seen == list(range(len(seen)))
        assert sum(position == 2 for _, position in mine) == 1
