"""Everything goes wrong at once: each row has one outcome, and next to nothing is paid for twice.

The same at twenty thousand rows: `make chaos`.
"""

from __future__ import annotations

import pytest
from chaos.dataset import Dataset
from chaos.run import DEATHS, chaos

from pipelines.inputs.rows import Line, parse
from transforms.elements import DeadLetter

SEED = 1


def test_a_job_that_dies_of_everything_accounts_for_every_row(tmp_path):
    """Killed, broken and starved of disk, against a provider that fails in ten ways."""
    accounts = chaos(tmp_path, rows=300, seed=SEED, deaths=len(DEATHS), in_flight=20)
    print(f"seed {SEED}\n{accounts}")
    accounts.check()
    assert accounts.deaths >= 3, "it has hardly died"
    assert len(accounts.provider.faults) == 10


def test_a_job_with_a_folder_journal_is_killed_again_and_again(tmp_path):
    """At 20 moments: `python -m chaos --rows 1500 --deaths 20 --journal folder --kinds kill`."""
    kills = ["kill"]
    accounts = chaos(
        tmp_path, rows=300, seed=SEED, deaths=4, in_flight=20, journal="folder", kinds=kills
    )
    print(f"seed {SEED}\n{accounts}")
    accounts.check()
    assert accounts.deaths == 4


def test_a_chaos_run_knows_its_rows():
    """The accounts are right about what they compare with."""
    dataset = Dataset(2000, SEED)
    found = [
        parse(Line(f"/{name}", name, number, line.decode(errors="replace")))
        for name, lines in dataset.files.items()
        for number, line in enumerate(lines, 1)
    ]
    unusable = [row.id for row in found if isinstance(row, DeadLetter)]
    malformed = [id for id, kind in dataset.unusable if kind == "RowError"]
    assert sorted(unusable) == sorted(malformed)
    assert {row.id for row in found} - set(unusable) == set(dataset.sound)


def test_the_same_seed_makes_the_same_rows_and_another_seed_others():
    assert Dataset(500, 1).files == Dataset(500, 1).files != Dataset(500, 2).files


@pytest.mark.parametrize("rows", [300, 20_000])
def test_every_kind_of_row_is_in_a_chaos_run(rows):
    dataset = Dataset(rows, SEED)
    assert {kind for _, kind in dataset.unusable} == {"RowError", "DuplicateIdError"}
    assert dataset.refused
