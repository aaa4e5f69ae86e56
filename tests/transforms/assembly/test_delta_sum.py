"""The sum of the deltas of one prompt: never joined from two texts, small, and stable as bytes."""

from __future__ import annotations

import itertools

import orjson
import pytest
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Duration, Timestamp
from deltas import deltas_of
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import Completion, DeadLetter, Delta, StreamChunkBuilder
from transforms.assembly import DeltaSumCoder
from transforms.assembly.awaited_deltas import AwaitFn, prompt_key
from transforms.assembly.delta_sum import DeltaSum

FIRST = "9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"
SECOND = "9f86d081884c7d65.0197a3c5ffff.000000000000"
THIRD = "9f86d081884c7d65.0197a3c60000.000000000000"


def said(submission, text, attempt=1, final=True):
    made = deltas_of("a", attempt, tuple(text), final)
    return [delta._replace(submission=submission) for delta in made]


def summed(deltas):
    total = DeltaSum()
    for delta in deltas:
        total.add(delta)
    return total


# --- Several submissions ----------------------------------------------------------------------

TEXTS = {(FIRST, 1): "aaaa", (SECOND, 1): "bbb", (THIRD, 1): "c", (THIRD, 2): "dd"}
DELTAS = [delta for (name, attempt), text in TEXTS.items() for delta in said(name, text, attempt)]
STEPS = st.lists(st.sampled_from(range(len(DELTAS))), max_size=40)


def right(deltas):
    """Return the ranks that may be the outcome of `deltas`, and whether it is whole."""
    there = {(delta.submission, delta.attempt, delta.seq) for delta in deltas}
    arrived = [(submission, attempt) for submission, attempt, _ in there]
    whole = [rank for rank, text in TEXTS.items() if arrived.count(rank) == len(text) + 1]
    return max(whole or arrived), bool(whole)


@settings(max_examples=300)
@given(STEPS, st.lists(st.integers(0, 40), max_size=5), st.booleans())
def test_the_outcome_is_the_newest_whole_text_however_deltas_are_grouped(numbers, cuts, as_bytes):
    deltas = [DELTAS[number] for number in numbers]
    edges = [0, *sorted(cuts), len(deltas)]
    builder, coder = StreamChunkBuilder(), DeltaSumCoder()
    sums = [summed(deltas[a:b]) for a, b in itertools.pairwise(edges)]
    sums = [builder.compact(each) for each in sums]
    if as_bytes:
        sums = [coder.decode(coder.encode(each)) for each in sums]
    outcome = builder.extract_output(builder.merge_accumulators(sums))
    again = builder.extract_output(builder.merge_accumulators(sums))
    assert again == outcome, "a runner may merge the same sums twice"
    if not deltas:
        assert isinstance(outcome, DeadLetter)
        return
    rank, is_whole = right(deltas)
    if is_whole:
        assert isinstance(outcome, Completion)
        assert (outcome.text, outcome.submission) == (TEXTS[rank], rank[0])
    else:
        assert isinstance(outcome, DeadLetter)
        assert TEXTS[rank].startswith(outcome.partial_text)


def test_an_attempt_of_an_older_submission_does_not_fill_a_gap():
    first, second = said(FIRST, "AAAAA"), said(SECOND, "BBBBBBB")
    outcome = summed(first[:5] + second[5:]).outcome()
    assert isinstance(outcome, DeadLetter)
    assert outcome.partial_text == ""


def test_deltas_without_a_submission_are_told_apart_by_their_attempts():
    outcome = summed(said("", "old") + said("", "new", attempt=2)).outcome()
    assert (outcome.text, outcome.submission) == ("new", None)


class Cell:
    """A state or a timer of one key, as a runner keeps it."""

    def __init__(self, value=None):
        self.value = value

    def read(self):
        return self.value

    def write(self, value):
        self.value = value

    set = write

    def add(self, item):
        self.value = [*self.value, item]

    def clear(self):
        self.value = [] if isinstance(self.value, list) else None


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(range(len(DELTAS))), st.integers(0, 99)), max_size=40))
def test_a_stream_emits_one_text_of_one_submission_and_its_timer_never_moves_back(steps):
    fn, window = AwaitFn(10, Duration(0)), GlobalWindow()
    states = deltas, _, _, _, silence = Cell([]), Cell(), Cell(), Cell(), Cell()
    emitted, timers = [], []
    for number, second in steps:
        delta = DELTAS[number]
        there = [*deltas.value, delta]
        outcomes = list(fn.process((prompt_key(delta), delta), Timestamp(second), window, *states))
        timers.append(silence.value)
        if emitted:
            assert outcomes == []
            continue
        emitted += outcomes
        rank, is_whole = right(there)
        assert is_whole == bool(outcomes)
        for outcome in outcomes:
            assert (outcome.text, outcome.submission) == (TEXTS[rank], rank[0])
    assert len(emitted) <= 1
    assert timers == sorted(timers)
    if steps and not emitted:
        key = prompt_key(DELTAS[0])
        [left] = fn.expire(key, silence.value, window, *states)
        assert any(text.startswith(left.value.partial_text) for text in TEXTS.values())
        assert deltas.value == []


class ReadFewCell(Cell):
    """Counts how many deltas are read."""

    items_read = 0

    def read(self):
        self.items_read += len(self.value)
        return self.value


def test_a_final_delta_that_comes_first_does_not_make_the_others_expensive():
    fn, window = AwaitFn(10, Duration(0)), GlobalWindow()
    deltas = ReadFewCell([])
    states = deltas, Cell(), Cell(), Cell(), Cell()
    arrived = said(FIRST, "x" * 100)[::-1]
    outcomes = [
        outcome
        for delta in arrived
        for outcome in fn.process((prompt_key(delta), delta), Timestamp(1), window, *states)
    ]
    assert [outcome.text for outcome in outcomes] == ["x" * 100]
    assert deltas.items_read == 1 + 101


# --- Memory -----------------------------------------------------------------------------------


def test_a_whole_text_keeps_no_deltas():
    total = summed(said(FIRST, "x" * 1000))
    assert total._texts == {}
    total.add(said(FIRST, "x" * 1000)[3])
    assert total._texts == {}


def test_a_newer_whole_text_drops_the_older_ones():
    total = summed([*said(FIRST, "abc", final=False), *said(SECOND, "de", final=False)])
    assert len(total._texts) == 2
    total.merge(summed(said(THIRD, "f")))
    assert total._texts == {}
    assert total.outcome().text == "f"


# --- Bytes ------------------------------------------------------------------------------------

HALF = (
    '[1,"a",null,[["9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4",1,2,'
    '{"choices":[{"index":0,"delta":{"content":"xy"},"finish_reason":null}]},'
    '[[3,"{\\"choices\\":[]}"]],3,"{}",null,""]]]'
)
WHOLE = (
    b'[1,"a",["9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4",1,{"id":"a","text":"x",'
    b'"finish_reason":null,"model":null,"prompt_tokens":null,"completion_tokens":null,'
    b'"total_tokens":null,"cached_tokens":null,"reasoning_tokens":null,"ttft":null,'
    b'"inter_chunk_p50":null,"inter_chunk_p95":null,"seconds":null,"ended_at":null,'
    b'"attempts":1,"completion":"{\\"id\\":null,\\"object\\":\\"chat.completion\\",'
    b'\\"created\\":null,\\"model\\":null,\\"choices\\":[{\\"index\\":0,\\"message\\":'
    b'{\\"role\\":\\"assistant\\",\\"content\\":\\"x\\"},\\"finish_reason\\":null,'
    b'\\"logprobs\\":null}],\\"usage\\":null,\\"usage_source\\":\\"missing\\"}","input":null,'
    b'"replayed":false,"shared":false,"cost_usd":null,"place":null,"wasted_tokens":0,'
    b'"wasted_cost_usd":0.0,"waste_estimated":false,'
    b'"submission":"9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"}],[]]'
)


def test_a_sum_has_the_same_bytes_in_every_version():
    x, y, _, final = said(FIRST, "xyz")
    assert DeltaSumCoder().encode(summed([x, y, final])).decode() == HALF
    assert DeltaSumCoder().encode(summed(said(FIRST, "x"))) == WHOLE


def test_the_bytes_of_an_earlier_version_are_read():
    half = DeltaSumCoder().decode(HALF.encode())
    half.add(said(FIRST, "xyz")[2])
    assert half.outcome().text == "xyz"
    known = orjson.loads(WHOLE)
    for name in ("submission", "waste_estimated"):  # columns that came later have their defaults
        del known[2][2][name]
    assert DeltaSum.of_bytes(orjson.dumps(known)).outcome().text == "x"


def test_the_coder_is_the_same_in_every_process():
    assert DeltaSumCoder() == DeltaSumCoder()
    assert isinstance(StreamChunkBuilder().get_accumulator_coder(), DeltaSumCoder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'[2,"a",null,[]]',
        b"[1,7,null,[]]",
        b'[1,"a",["s",1,{"id":"a"}],[]]',
        b'[1,"a",null,[["s",1]]]',
        b'[1,"a",null,[["s",1,0,null,[[0,7]],null,null,null,""]]]',
        b'[1,"a",null,[["s",1,"2",{},[],null,null,null,""]]]',
        b'[1,"a",null,[["s",1,2,[],[],null,null,null,""]]]',
        b"[" * 2000,
        b"\x80\x05\x95",
    ],
)
def test_other_bytes_are_refused_with_a_sentence(data):
    with pytest.raises(ValueError, match="not a sum of deltas"):
        DeltaSumCoder().decode(data)


@settings(max_examples=200)
@given(st.integers(0, len(HALF) - 1), st.integers(0, 255))
def test_damaged_bytes_are_refused_or_give_an_outcome(place, byte):
    data = bytearray(HALF.encode())
    data[place] = byte
    try:
        total = DeltaSumCoder().decode(bytes(data))
    except ValueError:
        return
    total.add(said(FIRST, "xyz")[2])
    assert isinstance(total.outcome(), (Completion, DeadLetter))


def test_a_sum_that_claims_many_chunks_allocates_none():
    claim = b'[1,"a",null,[["s",1,9000000000000000000,{},[],9000000000000000001,"{}",null,""]]]'
    assert isinstance(DeltaSum.of_bytes(claim).outcome(), DeadLetter)


# --- The state of a stream --------------------------------------------------------------------


def test_the_state_of_awaited_deltas_has_the_same_bytes_in_every_version():
    delta = Delta("a", 1, 0, "x", None, "{}", True, "{}", None, "d.1.x")
    deltas, progress, newest = AwaitFn.DELTAS, AwaitFn.PROGRESS, AwaitFn.NEWEST
    assert (deltas.name, progress.name, newest.name) == ("deltas", "progress", "newest")
    assert deltas.coder.encode(delta).hex() == STATE
    assert deltas.coder.decode(bytes.fromhex(STATE)) == delta
    assert progress.coder.encode(2) == b"\x02"
    assert AwaitFn.MISSING.coder.encode('{"d.1.x 1":3}') == b'{"d.1.x 1":3}'
    assert newest.coder.encode(50_000_000) == b"\x80\xe1\xeb\x17"
    assert AwaitFn.SILENCE.name == "ts-silence"


STATE = "0a021001016101000178027b7d01027b7d05642e312e78"
