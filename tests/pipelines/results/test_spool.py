"""The spool of a join: values by key, on the disk if there are many."""

from __future__ import annotations

from pipelines.results import spool
from pipelines.results.spool import Spool


def test_a_value_is_taken_once_also_from_the_disk(monkeypatch):
    monkeypatch.setattr(spool, "_MOST_BYTES", 1000)
    kept = Spool()
    names = [f"{n:016d}" for n in range(500)]
    for name in names:
        kept.put(name, b"first " + name.encode())
    for name in names[::2]:
        kept.put(name, b"second " + name.encode())
    assert len(kept) == 500
    for n, name in enumerate(names):
        assert kept.take(name) == (b"first " if n % 2 else b"second ") + name.encode()
        assert kept.take(name) is None
    assert len(kept) == 0


def test_values_that_are_taken_in_time_never_reach_the_disk(monkeypatch):
    monkeypatch.setattr(spool, "_MOST_BYTES", 1000)
    kept = Spool()
    for n in range(100):
        kept.put(f"{n}", bytes(100))
        assert kept.take(f"{n}") == bytes(100)
    assert kept._in_file == 0
    assert kept._bytes == 0
