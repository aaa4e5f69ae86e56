"""The files of an open journal are deleted, replaced or cut off: its completions are kept."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from batch_job import ROOT
from journals import ROWS, keep, key, value

from transforms.journal import JournalUnavailable, Spent
from transforms.journal.sqlite.journal import SqliteJournal

ALONE = pytest.mark.parametrize("alone", [True, False], ids=["alone", "shared"])
EARLIER, BEFORE, AFTER = ROWS[:50], ROWS[50:100], ROWS[100:150]
OWN = [*BEFORE, *AFTER]


def delete(path):
    path.unlink()


def empty(path):
    os.truncate(path, 0)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def replace(path):
    """Replace the file by another one, as an editor or a download does."""
    new = path.with_suffix(".new")
    new.write_bytes(b"something else\n" * 1000)
    new.rename(path)


def found(journal, rows):
    return [at for at, answer in rows if journal.lookup(at) == answer]


def open_at(path, run="a run", alone=False):
    return contextlib.closing(SqliteJournal(str(path), run, alone=alone))


def disturbed(path, alone, happen, suffix):
    """Record rows before and after `happen` changes a file; return what this run finds."""
    with open_at(path, "an earlier run") as journal:
        keep(journal, *EARLIER, spent=Spent(1))
    with open_at(path, alone=alone) as journal:
        keep(journal, *BEFORE, spent=Spent(1))
        happen(Path(f"{path}{suffix}"))
        keep(journal, *AFTER, spent=Spent(1))
        return found(journal, OWN)


@ALONE
@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("happen", [delete, replace])
def test_a_file_that_is_deleted_or_replaced_loses_nothing(tmp_path, caplog, alone, happen, suffix):
    path = tmp_path / "journal.sqlite"
    assert disturbed(path, alone, happen, suffix) == [at for at, _ in OWN]
    with open_at(path, "the next run") as journal:
        assert found(journal, [*EARLIER, *OWN]) == [at for at, _ in [*EARLIER, *OWN]]
        assert journal.spent() == Spent(150)
    what = "deleted" if happen is delete else "replaced"
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"the journal {path} was {what} while this job used it" in said


@ALONE
@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("happen", [empty, halve])
def test_a_file_that_is_cut_off_keeps_the_completions_of_this_run(
    tmp_path, caplog, alone, happen, suffix
):
    path = tmp_path / "journal.sqlite"
    assert disturbed(path, alone, happen, suffix) == [at for at, _ in OWN]
    with open_at(path, "the next run") as journal:
        assert found(journal, OWN) == [at for at, _ in OWN]
    assert f"the journal {path} was cut off while this job used it" in caplog.text
    assert f"kept as {path}.damaged-1" in caplog.text


def test_a_file_that_is_deleted_after_the_last_record_is_written_again(tmp_path):
    path = tmp_path / "journal.sqlite"
    with open_at(path, alone=True) as journal:
        keep(journal, *BEFORE)
        delete(path)
    with open_at(path, "the next run") as journal:
        assert found(journal, BEFORE) == [at for at, _ in BEFORE]


def test_a_folder_that_is_deleted_is_made_again(tmp_path):
    path = tmp_path / "out" / "journal.sqlite"
    with open_at(path, alone=True) as journal:
        keep(journal, *BEFORE)
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        keep(journal, *AFTER)
    with open_at(path, "the next run") as journal:
        assert found(journal, OWN) == [at for at, _ in OWN]


@ALONE
def test_a_file_may_be_lost_again_and_again(tmp_path, alone):
    path = tmp_path / "journal.sqlite"
    with open_at(path, alone=alone) as journal:
        for number, happen in enumerate((delete, replace, empty, delete)):
            keep(journal, ROWS[number])
            happen(path)
        keep(journal, ROWS[10])
    with open_at(path, "the next run") as journal:
        rows = [*ROWS[:4], ROWS[10]]
        assert found(journal, rows) == [at for at, _ in rows]


def test_an_older_copy_that_replaces_the_file_gets_the_rows_that_it_lacks(tmp_path):
    path, other = tmp_path / "journal.sqlite", tmp_path / "other.sqlite"
    with open_at(other) as journal:
        keep(journal, *EARLIER)
    with open_at(path, alone=True) as journal:
        keep(journal, *BEFORE)
        other.rename(path)
        keep(journal, *AFTER)
        assert found(journal, [*EARLIER, *OWN]) == [at for at, _ in [*EARLIER, *OWN]]
    assert not list(tmp_path.glob("*.damaged-*"))


def test_two_processes_of_a_run_meet_in_one_new_file(tmp_path):
    path = tmp_path / "journal.sqlite"
    with open_at(path) as one, open_at(path) as other:
        keep(one, *EARLIER)
        keep(other, *BEFORE)
        delete(path)
        keep(one, AFTER[0])
        keep(other, AFTER[1])
    with open_at(path, "the next run") as journal:
        rows = [*EARLIER, *BEFORE, *AFTER[:2]]
        assert found(journal, rows) == [at for at, _ in rows]


CUT_OFF = """
import os, sys
from journals import ROWS, SqliteJournal, keep
journal = SqliteJournal(sys.argv[1], "a run", alone=sys.argv[2] == "alone")
keep(journal, *ROWS[:50])
for name in os.listdir(os.path.dirname(sys.argv[1])):
    if not name.endswith(".lock"):
        os.truncate(os.path.join(os.path.dirname(sys.argv[1]), name), 0)
keep(journal, *ROWS[50:100])
assert all(journal.lookup(at) == answer for at, answer in ROWS[:100])
journal.close()
"""


@pytest.mark.parametrize("how", ["alone", "shared"])
def test_files_that_are_cut_off_do_not_end_the_process(tmp_path, how):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "journal.sqlite"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support"}
    command = [sys.executable, "-c", CUT_OFF, str(path), how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr[-500:]) == (0, done.stderr[-500:])
    with open_at(path, "the next run") as journal:
        assert found(journal, ROWS[:100]) == [at for at, _ in ROWS[:100]]


def test_a_journal_that_is_open_in_one_process_alone_maps_no_file(tmp_path):
    path = tmp_path / "journal.sqlite"
    with open_at(path, alone=True) as journal:
        keep(journal, *BEFORE)
        assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_log_whose_main_file_is_missing_is_read(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    copy = tmp_path / "copy.sqlite"
    with open_at(path) as journal:
        keep(journal, *BEFORE)
        Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    with open_at(copy) as journal:
        assert found(journal, BEFORE) == [at for at, _ in BEFORE]
    assert "50 completions could be read" in caplog.text


@pytest.mark.parametrize("target", ["precious.txt", "missing.txt"])
def test_a_lock_file_is_never_opened_through_a_link(tmp_path, target):
    path, precious = tmp_path / "journal.sqlite", tmp_path / "precious.txt"
    precious.write_text("years of work")
    Path(f"{path}.lock").symlink_to(tmp_path / target)
    with pytest.raises(JournalUnavailable, match="it is a symbolic link; remove it"):
        SqliteJournal(str(path), "a run")
    assert precious.read_text() == "years of work"
    assert not (tmp_path / "missing.txt").exists()


def test_rows_of_a_run_that_nothing_disturbs_are_written_once(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    with open_at(path, alone=True) as journal:
        keep(journal, (key(), value()))
    assert not caplog.records
    assert sorted(os.listdir(tmp_path)) == ["journal.sqlite", "journal.sqlite.lock"]


@ALONE
@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("happen", [delete, replace, empty, halve])
def test_the_total_of_a_lost_file_counts_each_cost_once(tmp_path, alone, happen, suffix):
    """150 completions and a failed request, which has no row."""
    path = tmp_path / "journal.sqlite"
    with open_at(path, "an earlier run") as journal:
        keep(journal, *EARLIER, spent=Spent(1))
    with open_at(path, alone=alone) as journal:
        keep(journal, *BEFORE, spent=Spent(1))
        journal.spend(Spent(1000)).result(timeout=60)
        happen(Path(f"{path}{suffix}"))
        keep(journal, *AFTER, spent=Spent(1))
        assert journal.spent() == Spent(1150)
    with open_at(path, "the next run") as journal:
        assert journal.spent() == Spent(1150)


def test_a_salvaged_row_that_is_in_two_pages_counts_once(tmp_path):
    """After a power cut an old image of a page may be beside a newer one that has its rows."""
    path = tmp_path / "journal.sqlite"
    with open_at(path) as journal:
        keep(journal, *ROWS, spent=Spent(10, 0.5))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[4096:] + b"cut off")
    with open_at(path, "the next run") as journal:
        assert found(journal, ROWS) == [at for at, _ in ROWS]
        assert journal.spent() == Spent(10 * len(ROWS), 0.5 * len(ROWS))
