"""Deltas in any order and with repetition, and the events that a consumer receives."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm import Finished, Follower, Grown, Superseded, Unfinished, follow
from ritellm.chunks import stream_chunk_builder
from transforms import Delta
from transforms.serialization import to_bytes

FINAL = {"object": "chat.completion.chunk", "choices": []}


def deltas_of(id, pieces, attempt=1, final=True, submission=None):
    """Return the messages of one attempt: a chunk for each piece, and the final one."""
    named = {} if submission is None else {"submission": submission}
    made = []
    for seq, text in enumerate(pieces):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        if seq == len(pieces) - 1:
            choice["finish_reason"] = "stop"
        place = {"id": id, "attempt": attempt, "seq": seq, "text": text, "final": False, **named}
        made.append({**place, "chunk": {"id": "c", "choices": [choice]}})
    if final:
        place = {"id": id, "attempt": attempt, "seq": len(pieces), "final": True, **named}
        place["chunk"] = FINAL
        made.append({**place, "outcome": {"attempts": attempt}, "input": {"row": id}})
    return made


WHOLE = deltas_of("a", ["x", "y", "z"])


def kinds(events):
    return [type(event).__name__ for event in events]


def verdicts(events):
    """Return what a consumer believes in the end, by id: the attempt, the text, and if whole."""
    return {id: (rank[1], *rest) for (id, _), (rank, *rest) in beliefs(events).items()}


def beliefs(events):
    """Return what a consumer believes in the end, by completion: the rank, the text, and if whole.

    And check on the way that what it is shown is one story.
    """
    shown, believed, whole = {}, {}, set()
    for event in events:
        rank, text = shown.get(event.key, ((event.submission, event.attempt), ""))
        assert (event.submission, event.attempt) == rank
        if isinstance(event, Grown):
            text += event.added
            assert event.text == text
        elif isinstance(event, Superseded):
            rank, text = (event.by_submission, event.by), ""
        else:
            assert event.text == text
            assert isinstance(event, Finished) or event.key not in whole
        whole |= {event.key} if isinstance(event, Finished) else set()
        shown[event.key] = rank, text
        believed[event.key] = rank, text, isinstance(event, Finished)
    return believed


def test_a_text_grows_and_is_finished():
    events = list(follow(WHOLE))
    assert kinds(events) == ["Grown", "Grown", "Grown", "Finished"]
    assert [(event.added, event.text) for event in events[:3]] == [
        ("x", "x"),
        ("y", "xy"),
        ("z", "xyz"),
    ]
    end = events[-1]
    assert end.text == "xyz"
    assert end.completion == stream_chunk_builder([delta["chunk"] for delta in WHOLE])
    assert (end.outcome, end.input) == ({"attempts": 1}, {"row": "a"})


def test_chunks_carry_their_number():
    chunks = [
        chunk for event in follow(WHOLE[:2]) if isinstance(event, Grown) for chunk in event.chunks
    ]
    assert [(chunk.attempt, chunk.seq, chunk.choices[0].delta.content) for chunk in chunks] == [
        (1, 0, "x"),
        (1, 1, "y"),
    ]


def test_a_delta_after_a_gap_waits():
    follower = Follower()
    assert follower.feed(WHOLE[2]) == []
    assert follower.feed(WHOLE[1]) == []
    [grown] = follower.feed(WHOLE[0])
    assert (grown.added, len(grown.chunks)) == ("xyz", 3)
    assert kinds(follower.feed(WHOLE[3])) == ["Finished"]


def test_a_final_delta_that_comes_first_ends_nothing_yet():
    follower = Follower()
    assert follower.feed(WHOLE[3]) == []
    assert kinds(follower.feed(WHOLE[0])) == ["Grown"]
    assert kinds(follower.feed(WHOLE[2])) == []
    assert kinds(follower.feed(WHOLE[1])) == ["Grown", "Finished"]


def test_a_newer_attempt_makes_the_text_void():
    events = list(follow(WHOLE[:2] + deltas_of("a", ["new"], attempt=2)))
    assert kinds(events) == ["Grown", "Grown", "Superseded", "Grown", "Finished"]
    assert (events[2].attempt, events[2].by) == (1, 2)
    assert (events[-1].attempt, events[-1].text) == (2, "new")


def test_late_deltas_of_an_older_attempt_are_dropped():
    events = list(follow(deltas_of("a", ["new"], attempt=2) + WHOLE))
    assert kinds(events) == ["Grown", "Finished"]
    assert events[-1].text == "new"


def test_a_newer_attempt_counts_even_if_an_older_one_was_finished():
    events = list(follow(WHOLE + deltas_of("a", ["new"], attempt=7)))
    assert kinds(events)[3:] == ["Finished", "Superseded", "Grown", "Finished"]
    assert verdicts(events) == {"a": (7, "new", True)}


def test_duplicates_of_a_finished_completion_are_dropped():
    assert kinds(follow(WHOLE + WHOLE[::-1] + WHOLE)) == ["Grown"] * 3 + ["Finished"]


def test_an_incomplete_completion_is_never_finished():
    events = list(follow(WHOLE[:1] + WHOLE[2:]))
    assert kinds(events) == ["Grown", "Unfinished"]
    assert (events[-1].text, events[-1].missing) == ("x", 1)
    assert Follower().close() == []


def test_an_empty_completion_is_finished_too():
    [end] = follow(deltas_of("a", []))
    assert (type(end), end.text) == (Finished, "")


@pytest.mark.parametrize("form", ["message", "JSON", "text", "row", "strings"])
def test_a_delta_may_come_in_any_of_its_forms(form):
    chunk = orjson.dumps(WHOLE[0]["chunk"]).decode()
    rows = [
        Delta("a", 1, 0, "x", "stop", chunk),
        Delta("a", 1, 1, "", None, orjson.dumps(FINAL).decode(), True, '{"n":1}', '{"row":1}'),
    ]
    forms = {
        "message": [orjson.loads(to_bytes(row)) for row in rows],
        "JSON": map(to_bytes, rows),
        "text": [to_bytes(row).decode() for row in rows],
        "row": rows,
        "strings": [
            {
                name: str("" if value is None else int(value) if name == "final" else value)
                for name, value in row._asdict().items()
            }
            for row in rows
        ],
    }
    grown, end = follow(forms[form])
    assert grown.added == "x"
    assert (end.text, end.outcome, end.input) == ("x", {"n": 1}, {"row": 1})


@pytest.mark.parametrize(
    "message",
    [
        b"no json",
        b"[]",
        b"null",
        None,
        7,
        {},
        {"id": "a", "attempt": 1, "chunk": {}},
        {"id": "a", "attempt": 1, "seq": 0},
        {"id": "a", "attempt": 1, "seq": 0, "chunk": "half a {"},
        {"id": 5, "attempt": 1, "seq": 0, "chunk": {}},
        {"id": "a", "attempt": 1, "seq": 1, "chunk": {"choices": 1}},
        {"id": "a", "attempt": 1, "seq": 1, "chunk": {"choices": ["odd"]}},
        {"id": "a", "attempt": 1, "seq": 1, "chunk": {"choices": [{"delta": "odd"}]}},
        {"id": "a", "attempt": 1, "seq": 1, "chunk": {"choices": [{"index": "odd"}]}},
    ],
)
def test_an_invalid_delta_is_refused_and_changes_nothing(message):
    follower = Follower()
    follower.feed(WHOLE[0])
    with pytest.raises(ValueError, match="delta"):
        follower.feed(message)
    rest = [event for delta in WHOLE[1:] for event in follower.feed(delta)]
    assert rest[-1].text == "xyz"


def test_tool_calls_and_reasoning_are_in_the_completion():
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}
    parts = [
        {"reasoning_content": "think"},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
    ]
    deltas = deltas_of("a", ["", "", ""])
    for delta, part in zip(deltas, parts, strict=False):
        delta["chunk"]["choices"][0]["delta"] = part
    *_, end = follow(deltas)
    message = end.completion.choices[0].message
    assert message.reasoning_content == "think"
    assert message.tool_calls[0].function.arguments == "{}"
    assert end.text == ""


def test_the_text_is_that_of_the_first_choice():
    deltas = deltas_of("a", ["first", "second"])
    deltas[1]["chunk"]["choices"][0]["index"] = 1
    *_, end = follow(deltas)
    assert end.text == "first"
    assert end.completion.choices[1].message.content == "second"


# Several submissions of a prompt

FIRST = "9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"
SECOND = "9f86d081884c7d65.0197a3c5ffff.000000000000"
OTHER_PROMPT = "0000000000000000.0197a3c5e2b0.5f3c9a01b7e4"


def test_a_prompt_that_is_sent_again_starts_its_text_again():
    first = deltas_of("a", ["A", "A", "A"], submission=FIRST)
    second = deltas_of("a", ["B", "B", "B"], submission=SECOND)
    events = list(follow(first[:2] + second))
    assert kinds(events) == ["Grown"] * 2 + ["Superseded"] + ["Grown"] * 3 + ["Finished"]
    void = events[2]
    assert (void.submission, void.by_submission) == (FIRST, SECOND)
    assert (events[-1].text, events[-1].submission) == ("BBB", SECOND)


def test_two_prompts_with_one_id_are_two_completions():
    one = deltas_of("a", ["x", "y"], submission=FIRST)
    two = deltas_of("a", ["v", "w"], submission=OTHER_PROMPT)
    events = list(follow([one[0], two[0], one[1], two[1], two[2], one[2]]))
    assert "Superseded" not in kinds(events)
    whole = {event.key: event.text for event in events if isinstance(event, Finished)}
    assert whole == {("a", "9f86d081884c7d65"): "xy", ("a", "0000000000000000"): "vw"}


def test_a_finished_text_is_only_replaced_by_a_whole_newer_one():
    first = deltas_of("a", ["A"], submission=FIRST)
    second = deltas_of("a", ["B", "B"], submission=SECOND)
    follower = Follower()
    assert kinds(event for delta in first for event in follower.feed(delta))[-1] == "Finished"
    assert [follower.feed(delta) for delta in second[:2]] == [[], []]
    events = follower.feed(second[2])
    assert kinds(events) == ["Superseded", "Grown", "Finished"]
    assert (events[1].text, events[2].text) == ("BB", "BB")
    assert follower.close() == []


def test_a_newer_submission_that_never_ends_leaves_the_finished_text():
    first = deltas_of("a", ["A"], submission=FIRST)
    half = deltas_of("a", ["B", "B"], submission=SECOND, final=False)
    assert beliefs(follow(first + half)) == {("a", FIRST[:16]): ((FIRST, 1), "A", True)}
    assert beliefs(follow(half + first)) == {("a", FIRST[:16]): ((FIRST, 1), "A", True)}


def test_a_replay_of_a_finished_submission_is_not_another_text():
    first = deltas_of("a", ["A", "B"], submission=FIRST)
    replay = deltas_of("a", ["AB"], attempt=2, submission=FIRST)
    assert kinds(follow(first + replay)) == ["Grown", "Grown", "Finished"]
    assert kinds(follow(first[:1] + replay)) == ["Grown", "Superseded", "Grown", "Finished"]


def test_a_prompt_keeps_a_few_of_its_texts():
    many = [f"{FIRST[:16]}.{n:012x}.000000000000" for n in range(500)]
    halves = [deltas_of("a", ["half"], submission=each)[0] for each in many]
    follower = Follower()
    for delta in halves:
        follower.feed(delta)
    [followed] = follower._open.values()
    assert len(followed._texts) == 8
    assert kinds(follower.feed(deltas_of("a", ["half"], submission=many[-1])[1])) == ["Finished"]


def test_an_unreadable_chunk_never_becomes_part_of_a_finished_text():
    deltas = deltas_of("a", ["x", "y"])
    deltas[1]["chunk"] = {"choices": [5]}
    follower = Follower()
    follower.feed(deltas[0])
    with pytest.raises(ValueError, match="must have a list of choices"):
        follower.feed(deltas[1])
    assert follower.feed(deltas[2]) == []
    assert kinds(follower.close()) == ["Unfinished"]


# Memory


def test_with_too_many_open_completions_the_longest_silent_is_given_up():
    follower = Follower(max_open=2)
    for id in "abc":
        events = follower.feed(deltas_of(id, ["x"])[0])
        if id == "b":
            assert kinds(follower.feed(deltas_of("a", ["", "y"])[1])) == ["Grown"]
    assert kinds(events) == ["Grown", "Unfinished"]
    assert (events[1].id, events[1].text) == ("b", "x")
    assert follower.feed(deltas_of("b", ["x"])[1]) == []
    assert kinds(follower.feed(deltas_of("b", ["x"], attempt=2)[0]))[0] == "Superseded"


def test_a_finished_completion_stays_closed_while_its_id_is_remembered():
    follower = Follower(remember=3)
    for id in "abcd":
        for delta in deltas_of(id, ["x", "y"]):
            follower.feed(delta)
    for id in "bcd":
        assert [follower.feed(delta) for delta in deltas_of(id, ["x", "y"])] == [[], [], []]


def test_a_late_duplicate_of_a_forgotten_completion_causes_no_event():
    follower = Follower(remember=1)
    for id in "ab":
        for delta in deltas_of(id, ["x", "y"]):
            follower.feed(delta)
    assert [follower.feed(delta) for delta in deltas_of("a", ["x", "y"])[1:]] == [[], []]


def test_a_finished_completion_keeps_only_its_id():
    follower = Follower(remember=50)
    for number in range(200):
        for delta in deltas_of(f"{number}", ["x", "y"]):
            follower.feed(delta)
    assert len(follower._closed) == 50
    assert not follower._open


# Any order, any repetition

ATTEMPTS = st.lists(
    st.tuples(st.lists(st.text("ab ", max_size=2), max_size=4), st.booleans()),
    min_size=1,
    max_size=3,
)
ANSWERS = st.dictionaries(st.sampled_from("pqr"), ATTEMPTS, max_size=3)


@settings(max_examples=300)
@given(ANSWERS, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_give_the_same_events(answers, dice):
    deltas = [
        delta
        for id, attempts in answers.items()
        for number, (pieces, final) in enumerate(attempts, 1)
        for delta in deltas_of(id, pieces, number, final)
    ]
    arrived = deltas + dice.choices(deltas, k=len(deltas)) if deltas else []
    dice.shuffle(arrived)
    wanted = {}
    for id, attempts in answers.items():
        there = [n for n, (pieces, final) in enumerate(attempts, 1) if pieces or final]
        whole = [n for n in there if attempts[n - 1][1]]
        if there:
            newest = (whole or there)[-1]
            pieces, final = attempts[newest - 1]
            wanted[id] = (newest, "".join(pieces), final)
    assert verdicts(follow(arrived)) == wanted
    assert verdicts(follow(deltas)) == wanted


@settings(max_examples=100)
@given(st.lists(st.text(max_size=3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_gap_is_never_skipped(pieces, dice):
    deltas = deltas_of("a", pieces)
    missing = dice.randrange(len(deltas))
    arrived = deltas[:missing] + deltas[missing + 1 :]
    dice.shuffle(arrived)
    *_, end = follow(arrived)
    assert isinstance(end, Unfinished)
    assert (end.missing, end.text) == (missing, "".join(pieces[:missing]))


# Any order, any repetition and any loss of several submissions

SAID = [("aaaa", FIRST, 1), ("bbb", SECOND, 1), ("cc", SECOND, 2), ("dddd", OTHER_PROMPT, 1)]
SAID_DELTAS = [
    delta
    for text, submission, attempt in SAID
    for delta in deltas_of("p", list(text), attempt, submission=submission)
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(range(len(SAID_DELTAS))), max_size=60))
def test_a_text_is_always_one_that_a_submission_said(numbers):
    events = list(follow(SAID_DELTAS[number] for number in numbers))
    texts = {(submission, attempt): text for text, submission, attempt in SAID}
    for event in events:
        if isinstance(event, Superseded):
            continue
        said = texts[event.submission, event.attempt]
        assert said.startswith(event.text)
        assert event.text == said or not isinstance(event, Finished)
    there = {number: SAID_DELTAS[number] for number in numbers}
    arrived = [(each["submission"], each["attempt"]) for each in there.values()]
    whole = {rank for rank, text in texts.items() if arrived.count(rank) == len(text) + 1}
    for (_, prompt), (rank, _, is_whole) in beliefs(events).items():
        mine = {each for each in arrived if each[0].startswith(prompt)}
        assert is_whole == bool(mine & whole)
        if (SECOND, 1) not in whole:  # a whole submission has one whole attempt
            assert rank == max(mine & whole or mine)
