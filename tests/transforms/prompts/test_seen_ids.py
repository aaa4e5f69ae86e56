"""Each id once: the newest in memory, the older ones on disk."""

from __future__ import annotations

import pytest

from transforms.prompts import seen_ids
from transforms.prompts.seen_ids import SeenIds


@pytest.fixture
def ids(monkeypatch):
    monkeypatch.setattr(seen_ids, "_MOST_IN_MEMORY", 3)
    return SeenIds()


@pytest.mark.parametrize("others", range(8))
def test_an_id_belongs_to_the_location_that_claimed_it_first(ids, others):
    assert ids.claim("first", "a:1")
    for number in range(others):
        assert ids.claim(f"other {number}", f"b:{number}")
    assert not ids.claim("first", "a:2")
    assert ids.claim("first", "a:1"), "a bundle's retry claims it again"
    assert all(ids.claim(f"other {number}", f"b:{number}") for number in range(others))


def test_ids_on_disk_need_no_memory(ids):
    for number in range(1000):
        ids.claim(str(number), f"a:{number}")
    assert len(ids._newest) < 3


@pytest.mark.parametrize("others", range(8))
def test_equal_rows_are_numbered_even_if_they_are_far_apart(ids, others):
    assert ids.claim("a:1", "a, line 1", "same") == 1
    for number in range(others):
        assert ids.claim(f"b:{number}", f"b, line {number}", f"other {number}") == 1
    assert ids.claim("a:2", "a, line 2", "same") == 2
    for _ in range(2):
        assert ids.claim("a:2", "a, line 2", "same") == 2, "a bundle's retry has its number"
        assert ids.claim("a:1", "a, line 1", "same") == 1
        assert ids.claim("a:1", "b, line 1", "same") == 0
    assert ids.claim("a:3", "a, line 3", "same") == 3


def test_many_equal_rows_need_no_memory(ids):
    numbers = [ids.claim(f"a:{number}", f"a, line {number}", "same") for number in range(1000)]
    assert numbers == list(range(1, 1001))
    assert len(ids._newest) < 3
