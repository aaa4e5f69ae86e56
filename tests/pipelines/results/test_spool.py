"""The spool of a join: values by digest, on the disk if there are many."""

from __future__ import annotations

from pipelines.results import spool
from pipelines.results.spool import Spool


def test_a_value_is_taken_once_also_from_the_disk(monkeypatch):
    monkeypatch.setattr(spool, "_MOST_BYTES", 1000)
    kept = Spool()
    names = [b"%016d" % n for n in range(500)]
    for name in names:
        kept.put(name, b"first " + name)
    for name in names[::2]:
        kept.put(name, b"second " + name)
    assert len(kept) == 500
    for n, name in enumerate(names):
        assert kept.take(name) == (b"first " if n % 2 else b"second ") + name
        assert kept.take(name) is None
    assert len(kept) == 0
