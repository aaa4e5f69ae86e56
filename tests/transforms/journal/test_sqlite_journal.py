"""The SQLite journal: damaged files, interrupted repairs, full disks."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journals import PLACES, ROWS, keep, key, value
from small_disk import mounted

from transforms.journal import (
    JournalError,
    JournalUnavailable,
    Spent,
)
from transforms.journal.base import pack
from transforms.journal.sqlite.journal import SqliteJournal


@functools.cache
def sound():
    """The bytes of a journal of ROWS that was closed."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/journal.sqlite"
        with contextlib.closing(SqliteJournal(path, "a run")) as journal:
            keep(journal, *ROWS, spent=Spent(10, 0.5))
        return Path(path).read_bytes()


def found_in(path):
    """Return the rows that a journal still finds; a wrong answer fails the test."""
    with contextlib.closing(SqliteJournal(str(path), "a run")) as journal:
        found = {at for at, answer in ROWS if (read := journal.lookup(at)) and read == answer}
        wrong = [at for at, _ in ROWS if at not in found and journal.lookup(at) is not None]
        keep(journal, (key("one more"), value()))
        assert not wrong
        return found, journal.spent()


def untouched(start, end):
    """Return the rows whose page has nothing between `start` and `end`."""
    at = {row: sound().find(pack(answer)) for row, answer in ROWS}
    pages = {row: (place // 4096 * 4096) for row, place in at.items() if place >= 0}
    return {row for row, page in pages.items() if page + 4096 <= start or page >= end}


@settings(max_examples=60)
@given(place=PLACES)
def test_the_rest_of_a_truncated_file_is_read_and_the_file_is_kept(place):
    cut = 1 + place % (len(sound()) - 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(sound()[:cut])
        found, spent = found_in(path)
        assert found >= untouched(cut, len(sound()))
        assert spent == Spent(10 * len(found), 0.5 * len(found))
        assert (Path(folder) / "journal.sqlite.damaged-1").read_bytes() == sound()[:cut]


@settings(max_examples=60)
@given(place=PLACES, junk=st.binary(min_size=1, max_size=6000))
@example(place=4068, junk=b"\x80")  # the name of a column
def test_junk_in_the_file_loses_only_the_pages_it_is_in(place, junk):
    start = place % len(sound())
    damaged = (sound()[:start] + junk + sound()[start + len(junk) :])[: len(sound())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(damaged)
        assert found_in(path)[0] >= untouched(start, start + len(junk))


def test_the_log_says_how_much_of_a_damaged_journal_was_read(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound()[: len(sound()) // 2])
    found, _ = found_in(path)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "transforms.journal"]
    assert f"{len(found)} completions could be read" in said
    assert f"{path}.damaged-1" in said


def test_opening_a_sound_journal_logs_nothing(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound())
    assert found_in(path) == ({at for at, _ in ROWS}, Spent(10 * len(ROWS), 0.5 * len(ROWS)))
    assert not caplog.records
    assert os.listdir(tmp_path) == ["journal.sqlite", "journal.sqlite.lock"]


def copy_while_open(place, to):
    """Copy an open journal with its write-ahead log, as a crash leaves it."""
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        keep(journal, *ROWS[:60])
        for suffix in ("", "-wal"):
            shutil.copy(place + suffix, str(to) + suffix)


@settings(max_examples=30)
@given(place=PLACES)
def test_a_truncated_wal_loses_only_the_rows_cut_off(place):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite"
        copy_while_open(f"{folder}/journal.sqlite", path)
        log = Path(f"{path}-wal")
        whole = log.read_bytes()
        log.write_bytes(whole[: place % len(whole)])
        found_in(path)
        assert not list(Path(folder).glob("*.damaged-*"))


def test_rows_in_the_wal_are_read_though_the_file_is_damaged(tmp_path):
    path = tmp_path / "copy.sqlite"
    copy_while_open(str(tmp_path / "journal.sqlite"), path)
    path.write_bytes(b"\0" * len(path.read_bytes()))
    assert found_in(path)[0] == {at for at, _ in ROWS[:60]}


def damage_unseen(path, place):
    """Flip a bit as a failing disk does: size and time of the file do not change."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_value_is_not_found(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound())
    found_in(path)
    at, answer = ROWS[7]
    damage_unseen(path, path.read_bytes().find(pack(answer)) + 40)
    assert found_in(path)[0] == {row for row, _ in ROWS} - {at}
    assert "damaged entries" in caplog.text


def test_damage_that_a_run_discovers_is_repaired_by_the_next_run(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound())
    found_in(path)
    row = path.read_bytes().find(pack(ROWS[7][1]))
    damage_unseen(path, row // 4096 * 4096)  # the page is of no known kind now
    some, _ = found_in(path)
    assert len(some) < len(ROWS)
    again, _ = found_in(path)
    assert again >= some
    assert "damaged entries" in caplog.records[0].getMessage()
    assert f"{path}.damaged-1" in caplog.records[1].getMessage()


def test_an_interrupted_repair_starts_again(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound()[:50_000])
    expected = found_in(path)[0]
    for file in tmp_path.iterdir():
        file.unlink()
    path.write_bytes(sound()[:50_000])
    Path(f"{path}.mended").write_bytes(sound()[:9000])  # killed while it copied
    assert found_in(path)[0] == expected


def test_a_repair_interrupted_before_its_last_step_is_finished(tmp_path):
    path = tmp_path / "journal.sqlite"
    Path(f"{path}.mended").write_bytes(sound())
    assert len(found_in(path)[0]) == len(ROWS)


@pytest.mark.parametrize("content", [b"{}\n", b'{"prompt": "hello"}\n' * 500, b"\0" * 10_000])
def test_a_file_that_is_not_a_journal_is_left_alone(tmp_path, content):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="exists but is not a journal; choose another file"):
        SqliteJournal(str(path), "a run")
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is not a journal"):
        SqliteJournal(str(path), "a run")
    assert path.read_bytes() == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    with mounted(tmp_path / "disk") as folder:
        yield folder


def test_a_full_disk_is_an_error_but_not_damage(small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * 500_000)
    place, kept = str(small_disk / "journal.sqlite"), []
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        full = None
        while full is None:
            row = (key(f"{len(kept)}"), ROWS[3][1])
            full = journal.record(*row).exception(timeout=120)
            kept += [] if full else [row]
        assert isinstance(full, JournalUnavailable)
        assert "its disk is full" in str(full)
        assert all(journal.lookup(at) == answer for at, answer in kept)
        filler.unlink()
        keep(journal, *ROWS[:50])
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        assert all(journal.lookup(at) == answer for at, answer in [*kept, *ROWS[:50]])
    assert not list(small_disk.glob("*.damaged-*"))


def test_an_unwritable_path_is_named_in_the_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match=r"file/journal\.sqlite"):
        SqliteJournal(str(tmp_path / "file" / "journal.sqlite"), "a run")
    with pytest.raises(JournalUnavailable, match="Is a directory"):
        SqliteJournal(str(tmp_path), "a run")
