"""A message is done when its outcome is out: not before, not never, not twice."""

from __future__ import annotations

import pytest

from pipelines.sources.acknowledgements import Acknowledger, JobAcknowledger
from transforms import Completion, DeadLetter, Delta, Prompt


def delta(id, final=True):
    return Delta(id, 1, 0, "", None, "{}", final)


def completion(id):
    empty = dict.fromkeys(Completion._fields)
    return Completion(**{**empty, "id": id, "attempts": 1})


def letter(id, request="{}"):
    return DeadLetter(id, request, "RowError", "no", None, False, 0, "")


@pytest.fixture
def settled():
    return []


@pytest.fixture
def acknowledger(settled):
    made = Acknowledger({Delta, Completion})
    made.on_settled = settled.extend
    return made


def test_a_message_is_settled_when_its_final_delta_and_its_completion_are_published(
    acknowledger, settled
):
    assert acknowledger.admit(Prompt("a", "{}"), 1)
    acknowledger.published([delta("a", final=False), delta("a")])
    assert settled == []
    acknowledger.published([completion("a")])
    assert settled == [1]
    assert acknowledger.open == 0


def test_a_dead_letter_alone_settles_its_message(acknowledger, settled):
    acknowledger.admit(Prompt("a", "{}"), 1)
    acknowledger.published([letter("a")])
    assert settled == [1]


def test_a_message_that_arrives_twice_is_sent_once_and_both_are_settled(acknowledger, settled):
    assert acknowledger.admit(Prompt("a", "{}"), 1) is True
    assert acknowledger.admit(Prompt("a", "{}"), 2) is False
    acknowledger.published([delta("a"), completion("a")])
    assert settled == [1, 2]


def test_a_repeated_outcome_settles_nothing(acknowledger, settled):
    acknowledger.admit(Prompt("a", "{}"), 1)
    for _ in range(2):
        acknowledger.published([completion("a"), delta("a")])
    assert settled == [1]


def test_another_prompt_with_the_id_of_an_open_one_does_not_get_its_outcome(acknowledger, settled):
    acknowledger.admit(Prompt("a", '{"n":1}'), 1)
    assert acknowledger.admit(Prompt("a", '{"n":2}'), 2) is None
    assert acknowledger.admit(letter("a", request=""), 2) is True
    acknowledger.published([letter("a", request="")])
    assert settled == [2]
    acknowledger.published([delta("a"), completion("a")])
    assert settled == [2, 1]


def test_unusable_messages_of_one_id_are_settled_one_by_one(acknowledger, settled):
    for receipt in (1, 2):
        acknowledger.admit(letter("a", request=""), receipt)
    acknowledger.published([letter("a", request="")])
    assert settled == [1]
    assert acknowledger.open == 1


def test_each_reader_gets_the_published_outcomes_of_its_job_in_its_process(settled):
    mine, other = JobAcknowledger(frozenset({Delta})), JobAcknowledger(frozenset({Delta}))
    readers = [mine(), mine(), other()]
    for number, reader in enumerate(readers):
        reader.on_settled = lambda receipts, number=number: settled.append((number, *receipts))
        reader.admit(Prompt("a", "{}"), "receipt")
    mine.published([delta("a")])
    assert settled == [(0, "receipt"), (1, "receipt")]
    assert (mine.open, other.open) == (0, 1)


def test_a_reader_that_has_ended_gets_no_outcomes_and_blocks_nothing(settled):
    mine = JobAcknowledger(frozenset({Delta}))
    ended = mine()
    ended.on_settled = settled.extend
    ended.admit(Prompt("a", "{}"), 1)
    mine.forget(ended)
    mine.published([delta("a")])
    assert (settled, mine.open) == ([], 0)


def test_a_stopped_job_stops_all_of_its_readers_including_later_ones():
    mine, other = JobAcknowledger(frozenset({Delta})), JobAcknowledger(frozenset({Delta}))
    readers = [mine(), other()]
    mine.stopping.set()
    assert [reader.stopping.is_set() for reader in (*readers, mine())] == [True, False, True]
