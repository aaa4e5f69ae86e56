"""Samples of rows are bounded, uniform, and the same in every run and in every order."""

from __future__ import annotations

import pickle
import random

from pipelines.pages.samples import Least, rank


def sampled(size, ids):
    sample = Least(size)
    for id in ids:
        sample.offer(rank(id, None), lambda id=id: id.encode())
    return sample


def test_all_rows_are_in_a_sample_that_has_room_for_them():
    assert sorted(sampled(10, ["b", "a", "c"])) == [b"a", b"b", b"c"]


def test_the_sample_does_not_depend_on_the_order_or_on_the_parts():
    ids = [f"row-{number}" for number in range(5_000)]
    whole = list(sampled(100, ids))
    assert len(whole) == 100
    random.Random(1).shuffle(ids)
    merged = Least(0)
    for start in range(0, 5_000, 700):
        merged.merge(pickle.loads(pickle.dumps(sampled(100, ids[start : start + 700]))))
    assert list(merged) == whole


def test_the_sample_is_uniform_over_numbered_rows():
    picked = [int(id) for id in sampled(1_000, [str(number) for number in range(10_000)])]
    for tenth in range(10):
        inside = sum(tenth * 1_000 <= number < (tenth + 1) * 1_000 for number in picked)
        assert 60 < inside < 140


def test_rows_without_an_id_are_told_apart_by_their_place():
    assert rank("", "in.jsonl:1") != rank("", "in.jsonl:2")
    assert rank("\ud800", None) != rank("\ud801", None)


def test_a_sample_of_nothing_stays_empty():
    assert list(sampled(0, ["a"])) == []
