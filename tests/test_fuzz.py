"""The fuzzer's targets hold for their seeds and for all that was found before; it finds faults."""

from __future__ import annotations

import orjson
import pytest
from fuzz.search import find
from fuzz.target import CORPUS, Target, cuts, same_for_every_cut
from fuzz.targets import TARGETS

EVERY = pytest.mark.parametrize("name", TARGETS)


@EVERY
def test_a_target_holds_for_its_seeds_and_its_corpus(name):
    target = TARGETS[name]
    for data in (*target.seeds, *target.corpus().values()):
        target.check(data)


def test_each_folder_of_the_corpus_has_a_target():
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= set(TARGETS)


@EVERY
def test_a_target_holds_for_some_changes(name):
    found = find(TARGETS[name], rounds=1, examples=10)
    assert found is None, f"{found.data!r}: {found.error!r}"


def test_a_planted_fault_is_found_and_its_input_is_small():
    def trusting(data):
        try:
            usage = orjson.loads(data)["usage"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return
        usage.get("prompt_tokens")  # it may be no object

    seed = b'{"id": "a", "usage": {"prompt_tokens": 7}, "choices": [1, 2, 3]}'
    found = find(Target("planted", [seed], trusting), rounds=40)
    assert found is not None
    assert isinstance(found.error, AttributeError)
    assert len(found.data) < len(seed) + 40


def test_a_fault_of_one_cut_is_found():
    def careless(pieces):
        return [line for piece in pieces for line in piece.split(b"\n") if line]

    planted = Target("planted", [b"a line"], lambda data: same_for_every_cut(careless, data))
    found = find(planted, rounds=40)
    assert found is not None
    assert len(found.data) <= 2


def test_every_cut_is_of_the_same_bytes():
    data = bytes(range(256)) * 4
    assert all(b"".join(pieces) == data for pieces in cuts(data))
    assert len({len(pieces) for pieces in cuts(data[:100])}) > 2
