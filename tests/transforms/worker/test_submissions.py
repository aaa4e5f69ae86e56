"""New submissions are newer than all that are known, also when the clock jumps."""

from __future__ import annotations

import orjson
import pytest

from ritellm.chunks.submission import order_of, prompt_of
from transforms import Completion
from transforms.worker.outcomes import to_completion
from transforms.worker.submissions import Orders, digest_of, new_submission, replayed

BODY = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 1}
DIGEST = "0123456789abcdef"


def digest(**changed):
    body = {**BODY, **changed}
    return digest_of(orjson.dumps(body).decode(), body)


def completion(**columns) -> Completion:
    return to_completion("a", {"choices": []}, {"ended_at": 12.5}, None)._replace(**columns)


def clock(*seconds):
    times = iter(seconds)
    return Orders(lambda: next(times))


def test_the_order_is_the_time_in_milliseconds():
    assert order_of(new_submission(DIGEST, 0, clock(12.345))) == 12_345


def test_a_clock_that_jumps_back_gives_larger_orders_all_the_same():
    orders = clock(12.0, 12.0, 3.0, 12.5)
    names = [new_submission(DIGEST, 0, orders) for _ in range(4)]
    assert [order_of(name) for name in names] == [12_000, 12_001, 12_002, 12_500]
    assert names == sorted(names)


def test_a_submission_is_newer_than_the_one_that_the_journal_has():
    orders = clock(12.0, 13.0)
    assert order_of(new_submission(DIGEST, 99_000, orders)) == 99_001
    assert order_of(new_submission(DIGEST, 0, orders)) == 13_000


def test_two_processes_in_the_same_moment_give_two_names():
    names = {new_submission(DIGEST, 0, clock(12.0)) for _ in range(50)}
    assert len(names) == 50
    assert {prompt_of(name) for name in names} == {DIGEST}


def test_the_digest_is_that_of_the_request_whatever_the_order_of_its_keys():
    turned = dict(reversed(BODY.items()))
    assert digest() == digest_of(orjson.dumps(turned).decode(), turned)
    assert len(digest()) == 16


@pytest.mark.parametrize(
    "changed",
    [{"messages": [{"role": "user", "content": "Ho"}]}, {"temperature": 0}, {"model": "openai/n"}],
)
def test_another_request_has_another_digest(changed):
    assert digest(**changed) != digest()


def test_a_request_that_cannot_be_written_as_json_has_a_digest():
    body: dict = {}
    body["self"] = body
    assert digest_of("text \ud800", body) == digest_of("text \ud800", body)
    assert digest_of("text", body) != digest_of("other", body)


def test_a_replay_has_the_name_of_its_first_submission():
    name = new_submission(DIGEST)
    assert replayed(DIGEST, completion(submission=name)) == name


def test_a_replay_is_newer_than_a_submission_that_another_process_has_begun_since():
    name = new_submission(DIGEST)
    later = order_of(name) + 5
    first = replayed(DIGEST, completion(submission=name), later)
    assert order_of(first) == later + 1
    assert first == replayed(DIGEST, completion(submission=name), later)
    assert replayed(DIGEST, completion(submission=name), order_of(name)) == name


def test_a_completion_of_an_equal_request_keeps_its_order_and_gets_the_digest_of_the_row():
    name = new_submission(DIGEST)
    assert replayed("f" * 16, completion(submission=name)) == name.replace(DIGEST, "f" * 16)


@pytest.mark.parametrize("submission", [None, "", "from another program"])
def test_a_completion_without_a_submission_has_the_same_name_at_each_replay(submission):
    first = replayed(DIGEST, completion(submission=submission))
    assert first == replayed(DIGEST, completion(submission=submission))
    assert (prompt_of(first), order_of(first)) == (DIGEST, 12_500)
    assert first != replayed(DIGEST, completion(submission=submission, completion="{}"))
