"""The folder journal: damaged and missing files, and files of other workers."""

from __future__ import annotations

import contextlib
import functools
import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import PLACES, ROWS, keep, key, value

from transforms.journal import (
    JournalUnavailable,
    Spent,
)
from transforms.journal.base import Record
from transforms.journal.folder.format import HEAD_BYTES, ROW, head_of, key_hash, to_line
from transforms.journal.folder.journal import FolderJournal


def shard_of(folder):
    (shard,) = Path(folder).glob("part-*")
    return shard


def new_folder(folder, most):
    """Open a journal that closes a file with exactly this many records."""
    return FolderJournal(folder, linger=3600, quiet=3600, most=most)


@functools.cache
def sound_shard():
    """The name and the bytes of a file that has all ROWS."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(new_folder(folder, most=len(ROWS))) as journal:
            keep(journal, *ROWS, spent=Spent(1))
        (shard,) = Path(folder).iterdir()
        return shard.name, shard.read_bytes()


@settings(max_examples=40)
@given(place=PLACES, junk=st.none() | st.binary(min_size=1, max_size=50))
def test_the_sound_lines_of_a_damaged_file_are_read(place, junk):
    name, whole = sound_shard()
    start = place % len(whole)
    damaged = whole[:start] if junk is None else whole[:start] + junk + whole[start + len(junk) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(damaged)
        for _ in range(2):
            with contextlib.closing(FolderJournal(folder)) as journal:
                found = [at for at, answer in ROWS if journal.lookup(at) == answer]
                assert not any(journal.lookup(at) for at, _ in ROWS if at not in found)
                # A sound index has the cost of its file, even if the rest is damaged.
                assert journal.spent() in (Spent(len(found)), Spent(len(ROWS)))
        (kept,) = Path(folder).iterdir()
        assert kept.read_bytes() == damaged
        assert kept.name == f"damaged-{name}" or len(found) == len(ROWS)


def test_the_log_says_once_how_much_of_a_damaged_file_was_read(tmp_path, caplog):
    name, whole = sound_shard()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        FolderJournal(str(tmp_path)).close()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "completions could be read" in said
    assert f"damaged-{name}" in said


def test_a_file_is_plain_gzip_and_its_first_block_is_an_index(tmp_path):
    _, whole = sound_shard()
    assert len(gzip.decompress(whole).splitlines()) == 1 + len(ROWS)
    head = head_of(whole[:HEAD_BYTES])
    assert head.size == len(whole) > HEAD_BYTES
    assert head.spent == Spent(len(ROWS))
    assert [hash for hash, _ in ROW.iter_unpack(head.rows)] == [key_hash(at) for at, _ in ROWS]


def test_a_file_of_an_earlier_version_without_an_index_is_read(tmp_path):
    records = [Record(at, answer, Spent(2)) for at, answer in ROWS]
    lines = b"".join(map(to_line, [Record(None, b"", Spent(5)), *records]))
    (tmp_path / "part-1-a-000001.jsonl.gz").write_bytes(gzip.compress(lines))
    with contextlib.closing(FolderJournal(str(tmp_path))) as journal:
        assert all(journal.lookup(at) == answer for at, answer in ROWS)
        assert journal.spent() == Spent(5 + 2 * len(ROWS))
    assert shard_of(tmp_path).name == "part-1-a-000001.jsonl.gz"


@contextlib.contextmanager
def opened_before(folder, change):
    """A journal that was opened before something happened to its only file."""
    name, whole = sound_shard()
    (folder / name).write_bytes(whole)
    with contextlib.closing(FolderJournal(str(folder))) as journal:
        change(folder / name)
        yield journal


def test_damage_after_opening_loses_only_the_damaged_lines(tmp_path, caplog):
    def damage(file):
        content = bytearray(file.read_bytes())
        content[-3000:-2900] = bytes(100)
        file.write_bytes(content)

    with opened_before(tmp_path, damage) as journal:
        found = [at for at, answer in ROWS if journal.lookup(at) == answer]
        assert 100 < len(found) < len(ROWS)
        assert journal.lookup(found[-1]) == dict(ROWS)[found[-1]]
    assert f"{len(found)} completions could be read" in caplog.text
    assert [file.name.partition("part")[0] for file in tmp_path.iterdir()] == ["damaged-"]


def test_a_file_that_another_process_has_renamed_is_still_found(tmp_path):
    with opened_before(
        tmp_path, lambda file: file.rename(file.with_name(f"damaged-{file.name}"))
    ) as journal:
        assert all(journal.lookup(at) == answer for at, answer in ROWS)


def test_the_completions_of_a_missing_file_are_not_found(tmp_path, caplog):
    with opened_before(tmp_path, lambda file: file.unlink()) as journal:
        assert not any(journal.lookup(at) for at, _ in ROWS)
        keep(journal, ROWS[0])
        assert journal.lookup(ROWS[0][0]) == ROWS[0][1]
    assert "will be sent again" in caplog.text


def test_a_file_that_is_being_written_is_not_read(tmp_path):
    with contextlib.closing(FolderJournal(str(tmp_path), linger=0)) as journal:
        keep(journal, (key(), value()))
    shard = shard_of(tmp_path)
    shard.rename(shard.with_name(f"unfinished-{shard.name}"))
    with contextlib.closing(FolderJournal(str(tmp_path))) as journal:
        assert journal.lookup(key()) is None


def test_records_of_another_worker_are_found_within_a_minute(tmp_path):
    now = [0.0]
    with (
        contextlib.closing(FolderJournal(str(tmp_path), clock=lambda: now[0])) as ours,
        contextlib.closing(FolderJournal(str(tmp_path), linger=0)) as theirs,
    ):
        keep(theirs, (key(), value()), spent=Spent(5))
        assert ours.lookup(key()) is None
        now[0] = 61.0
        assert ours.lookup(key()) == value()
        assert ours.spent() == Spent(5)


def test_records_that_come_together_share_a_file(tmp_path):
    with contextlib.closing(new_folder(str(tmp_path), most=10)) as journal:
        keep(journal, *[(key(str(n)), value()) for n in range(10)])
        assert len(list(tmp_path.iterdir())) == 1


def test_an_unusable_folder_is_named_in_the_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match="file/folder"):
        FolderJournal(str(tmp_path / "file" / "folder"))
