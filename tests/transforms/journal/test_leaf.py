"""The fast reader of leaf pages finds what the careful one finds, also in damaged pages."""

from __future__ import annotations

import random

import pytest

from transforms.journal.base import Spent
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.journal.sqlite.leaf import Leaves
from transforms.journal.sqlite.salvage import Pages, rows_in

SPENT = [
    Spent(),
    Spent(1, 1.0),
    Spent(5, 0.0001),
    Spent(300, 2.0),
    Spent(1 << 40, 1e300),
    Spent(70_000, 300.0),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A journal with short, long and very long ids and values."""
    place = str(tmp_path_factory.mktemp("journal") / "journal.sqlite")
    journal = SqliteJournal(place, "run", alone=True)
    dice = random.Random(1)
    for n in range(400):
        id = ["r", "ü" * 40, "x" * 300, "y" * 5_000][n % 29 % 4] + str(n)
        value = dice.randbytes([0, 1, 40, 900, 9_000][n % 5])
        journal.record(JournalKey(id, f"{n:032x}"), value, SPENT[n % 6])
    journal.close()
    return place


def both(path, change):
    fast, careful = [], []
    with Pages(path) as pages:
        leaves = Leaves(pages)
        for number in pages.numbers():
            page = change(pages.read(number))
            fast += leaves.entries(page)
            careful += [(record.key, record.value) for record in rows_in(pages, page)]
    return fast, careful


def test_whole_pages_have_the_same_rows(path):
    fast, careful = both(path, lambda page: page)
    assert len(careful) == 400
    assert fast == careful


@pytest.mark.parametrize("seed", range(30))
def test_damaged_pages_have_the_same_rows(path, seed):
    dice = random.Random(seed)

    def change(page):
        changed = bytearray(page)
        for _ in range(dice.randrange(6)):
            changed[dice.randrange(min(len(changed), dice.choice([40, 4096])))] = dice.randrange(
                256
            )
        return bytes(changed[: dice.choice([len(changed), dice.randrange(1, 4096)])])

    fast, careful = both(path, change)
    assert fast == careful
