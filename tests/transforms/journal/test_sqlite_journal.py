"""The journal: what was paid for is found again, whatever died, was damaged or ran at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import gzip
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis_server import running

from ritellm.errors import InvalidRequestError
from transforms.journal import (
    JournalError,
    JournalInUse,
    JournalKey,
    JournalUnavailable,
    NewJournal,
    Spent,
    open_journal,
    request_hash,
)
from transforms.journal.base import NOTHING, Record, pack
from transforms.journal.folder.format import HEAD_BYTES, ROW, head_of, key_hash, to_line
from transforms.journal.folder.journal import FolderJournal
from transforms.journal.group_commit import GroupCommit
from transforms.journal.redis import RedisJournal
from transforms.journal.spec import resolved
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.journal.tolerant import TolerantJournal

ROOT = Path(__file__).parents[3]
KINDS = ("sqlite", "folder", "redis")


def key(name="row-1", question="?"):
    return JournalKey(name, request_hash("openai/m", None, {}, {"messages": question}))


def value(text="hello"):
    return orjson.dumps({"completion": {"text": text}})


def keep(journal, *rows, spent=NOTHING):
    """Record `rows`, pairs of key and value, and wait until they are durable."""
    for future in [journal.record(at, what, spent) for at, what in rows]:
        future.result(timeout=30)


@pytest.fixture
def places(request, tmp_path):
    """Return the arguments that open the same journal of a kind again and again."""
    numbers = count()

    def place(kind):
        if kind == "redis":
            server = request.getfixturevalue("redis_server")
            return f"{server.url}?prefix={tmp_path.name}-{next(numbers)}"
        return str(tmp_path / ("journal.sqlite" if kind == "sqlite" else "journal"))

    return place


def open_at(kind, place, run="a run", **options):
    if kind == "sqlite":
        return SqliteJournal(place, run)
    if kind == "redis":
        return RedisJournal(place, "test", **{"tries": 1, **options})
    return FolderJournal(place, **{"linger": 0, **options})


@pytest.fixture(params=KINDS)
def again(request, places):
    """Return a function that closes the journal, if it is open, and opens it."""
    place = places(request.param)
    opened = []

    def reopen():
        while opened:
            opened.pop().close()
        opened.append(open_at(request.param, place))
        return opened[0]

    yield reopen
    while opened:
        opened.pop().close()


# What every journal does


def test_the_next_run_finds_what_was_recorded(again):
    rows = [(key(f"row-{n}", f"question {n}"), value(f"answer {n}")) for n in range(50)]
    keep(again(), *rows)
    journal = again()
    assert [journal.lookup(at) for at, _ in rows] == [answer for _, answer in rows]


def test_what_is_found_in_the_same_run_needs_no_reopening(again):
    journal = again()
    assert journal.lookup(key()) is None
    keep(journal, (key(), value()))
    assert journal.lookup(key()) == value()


def test_another_id_or_another_question_is_not_found(again):
    journal = again()
    keep(journal, (key("row-1", "a"), value()))
    assert journal.lookup(key("row-2", "a")) is None
    assert journal.lookup(key("row-1", "b")) is None


def test_an_equal_question_is_found_under_any_id(again):
    keep(again(), (key("row-1", "a"), value("x")), (key("row-2", "b"), value("y")))
    journal = again()
    assert journal.lookup_equal(key("row-3", "b").request) == value("y")
    assert journal.lookup_equal(key("row-1", "c").request) is None


def test_the_newest_record_of_a_row_counts(again):
    journal = again()
    keep(journal, (key(), value("old")))
    keep(journal, (key(), value("new")))
    assert journal.lookup(key()) == value("new")


@pytest.mark.parametrize(
    "text", ["", 'a "quote", "value": {', "täglich 東京 \U0001f600\n\t\\", "x" * 300_000]
)
def test_ids_and_values_come_back_as_they_were(again, text):
    keep(again(), (key(text[:1000], text), value(text)), (key("other"), value()))
    journal = again()
    assert journal.lookup(key(text[:1000], text)) == value(text)
    assert journal.lookup(key("other")) == value()


def test_what_was_spent_adds_up_over_runs(again):
    journal = again()
    keep(journal, (key("1"), value()), (key("2"), value()), spent=Spent(100, 0.25))
    journal.spend(Spent(7, 0.5)).result(timeout=30)
    assert journal.spent() == Spent(207, 1.0)
    keep(again(), (key("3"), value()), spent=Spent(1, 0.5))
    assert again().spent() == Spent(208, 1.5)


def test_any_thread_may_record_and_look_up(again):
    journal = again()

    def work(worker):
        rows = [(key(f"{worker}-{n}"), value(f"{worker}-{n}")) for n in range(40)]
        keep(journal, *rows, spent=Spent(1))
        return [journal.lookup(at) == answer for at, answer in rows]

    with ThreadPoolExecutor(8) as threads:
        assert all(all(found) for found in threads.map(work, range(8)))
    assert again().spent() == Spent(320)


def test_closing_writes_what_is_waiting_and_ends_it(again):
    journal = again()
    waiting = [journal.record(key(str(n)), value()) for n in range(2000)]
    journal.close()
    assert all(future.done() and future.exception() is None for future in waiting)
    journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.record(key(), value()).result()
    assert again().lookup(key("1999")) == value()


def test_a_task_that_is_cancelled_takes_no_record_back(again):
    journal = again()

    async def record_and_give_up():
        task = asyncio.ensure_future(asyncio.wrap_future(journal.record(key(), value())))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(record_and_give_up())
    assert again().lookup(key()) == value()


# Processes that die, and processes that meet

CHILD = f"""
import sys
sys.path[:] = {sys.path!r}
from test_sqlite_journal import key, keep, open_at, value
kind, place, run, rows = sys.argv[1:]
journal = open_at(kind, place, run)
print("open", flush=True)
for number in range(int(rows)):
    journal.record(key(f"row-{{number}}"), value(f"answer {{number}}")).add_done_callback(
        lambda _, number=number: print(number, flush=True))
sys.stdin.read()
"""


@contextlib.contextmanager
def child(kind, place, run="a run", rows=0):
    """Another process that has the journal open, records rows, and says which are durable."""
    command = [sys.executable, "-c", CHILD, kind, place, run, str(rows)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_kill_9_loses_nothing_that_was_acknowledged(kind, places):
    place = places(kind)
    with child(kind, place, rows=100_000) as process:
        acknowledged = [process.stdout.readline() for _ in range(1500)]
        process.kill()
        acknowledged += [line for line in process.stdout if line.endswith("\n")]
    numbers = [int(line) for line in acknowledged]
    with contextlib.closing(open_at(kind, place)) as journal:
        assert all(journal.lookup(key(f"row-{n}")) == value(f"answer {n}") for n in numbers)
    assert len(numbers) < 100_000, "it was killed in the middle"


def test_a_second_run_is_refused_and_told_who_is_there(places):
    place = places("sqlite")
    with child("sqlite", place) as process:
        with pytest.raises(JournalInUse, match=f"process {process.pid} .*another --journal"):
            SqliteJournal(place, "another run")
        process.kill()
        process.wait()
        SqliteJournal(place, "another run").close()


def test_the_processes_of_one_run_share_a_journal(places):
    place = places("sqlite")
    with child("sqlite", place, rows=50) as process:
        with contextlib.closing(SqliteJournal(place, "a run")) as journal:
            keep(journal, (key("ours"), value()))
            assert [process.stdout.readline() for _ in range(50)][-1] == "49\n"
            assert journal.lookup(key("row-49")) == value("answer 49")
        with pytest.raises(JournalInUse):
            SqliteJournal(place, "another run")


def test_a_run_that_has_closed_its_journal_leaves_it_to_the_next(places):
    place = places("sqlite")
    SqliteJournal(place, "a run").close()
    SqliteJournal(place, "another run").close()


@pytest.mark.parametrize("kind", ["folder", "redis"])
def test_two_runs_at_once_are_safe_where_they_are_not_refused(kind, places):
    place = places(kind)
    with (
        contextlib.closing(open_at(kind, place)) as one,
        contextlib.closing(open_at(kind, place)) as two,
    ):
        keep(one, (key("1"), value("1")), spent=Spent(1))
        keep(two, (key("2"), value("2")), spent=Spent(1))
    with contextlib.closing(open_at(kind, place)) as journal:
        assert journal.lookup(key("1")) == value("1")
        assert journal.lookup(key("2")) == value("2")
        assert journal.spent() == Spent(2)


# Files that are damaged: SQLite


def noise(number, size):
    """Return a value of its own for each number; it cannot be packed well."""
    return value(f"{number} " + random.Random(number).randbytes(size).hex())


ROWS = [(key(f"row-{n}"), noise(n, 300 * (n % 5))) for n in range(200)]
# Some values fill several pages; those that do not lie in one piece, where a test can find them.
ROWS += [(key(f"large-{n}"), noise(n, 9000)) for n in range(3)]


@functools.cache
def sound():
    """The bytes of a journal of ROWS that was closed."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/journal.sqlite"
        with contextlib.closing(SqliteJournal(path, "a run")) as journal:
            keep(journal, *ROWS, spent=Spent(10, 0.5))
        return Path(path).read_bytes()


PLACES = st.integers(0, 1 << 24)  # a place in a file, modulo its length


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


@settings(deadline=None, max_examples=60)
@given(place=PLACES)
def test_a_file_that_was_cut_gives_what_is_left_and_is_kept(place):
    cut = 1 + place % (len(sound()) - 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(sound()[:cut])
        found, spent = found_in(path)
        assert found >= untouched(cut, len(sound()))
        assert spent == Spent(10 * len(found), 0.5 * len(found))
        assert (Path(folder) / "journal.sqlite.damaged-1").read_bytes() == sound()[:cut]


@settings(deadline=None, max_examples=60)
@given(place=PLACES, junk=st.binary(min_size=1, max_size=6000))
@example(place=4068, junk=b"\x80")  # the name of a column
def test_junk_in_the_file_costs_no_more_than_the_pages_it_is_in(place, junk):
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


def test_a_sound_journal_is_opened_without_a_word(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound())
    assert found_in(path) == ({at for at, _ in ROWS}, Spent(10 * len(ROWS), 0.5 * len(ROWS)))
    assert not caplog.records
    assert os.listdir(tmp_path) == ["journal.sqlite", "journal.sqlite.lock"]


def copy_while_open(place, to):
    """Copy a journal that nobody has closed, with its write-ahead log, as a crash leaves it."""
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        keep(journal, *ROWS[:60])
        for suffix in ("", "-wal"):
            shutil.copy(place + suffix, str(to) + suffix)


@settings(deadline=None, max_examples=30)
@given(place=PLACES)
def test_a_log_that_was_cut_loses_no_more_than_was_cut(place):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite"
        copy_while_open(f"{folder}/journal.sqlite", path)
        log = Path(f"{path}-wal")
        whole = log.read_bytes()
        log.write_bytes(whole[: place % len(whole)])
        found_in(path)
        assert not list(Path(folder).glob("*.damaged-*"))


def test_what_only_the_log_has_is_read_although_the_file_is_damaged(tmp_path):
    path = tmp_path / "copy.sqlite"
    copy_while_open(str(tmp_path / "journal.sqlite"), path)
    path.write_bytes(b"\0" * len(path.read_bytes()))
    assert found_in(path)[0] == {at for at, _ in ROWS[:60]}


def damage_unseen(path, place):
    """Flip a bit as a failing disk does: size and time of the file stay what they were."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_value_is_asked_again(tmp_path, caplog):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound())
    found_in(path)
    at, answer = ROWS[7]
    damage_unseen(path, path.read_bytes().find(pack(answer)) + 40)
    assert found_in(path)[0] == {row for row, _ in ROWS} - {at}
    assert "damaged entries" in caplog.text


def test_damage_that_shows_while_a_run_reads_is_mended_by_the_next(tmp_path, caplog):
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


def test_mending_that_was_killed_is_done_again(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(sound()[:50_000])
    expected = found_in(path)[0]
    for file in tmp_path.iterdir():
        file.unlink()
    path.write_bytes(sound()[:50_000])
    Path(f"{path}.mended").write_bytes(sound()[:9000])  # killed while it copied
    assert found_in(path)[0] == expected


def test_mending_that_was_killed_before_its_last_step_is_finished(tmp_path):
    path = tmp_path / "journal.sqlite"
    Path(f"{path}.mended").write_bytes(sound())
    assert len(found_in(path)[0]) == len(ROWS)


@pytest.mark.parametrize("content", [b"{}\n", b'{"prompt": "hello"}\n' * 500, b"\0" * 10_000])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, content):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is no journal: name another file"):
        SqliteJournal(str(path), "a run")
    assert path.read_bytes() == content


def test_somebody_elses_database_is_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is no journal"):
        SqliteJournal(str(path), "a run")
    assert path.read_bytes() == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this root may not mount anything")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_no_damage(small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * 500_000)
    place, kept = str(small_disk / "journal.sqlite"), []
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        full = None
        while full is None:
            row = (key(f"{len(kept)}"), ROWS[3][1])
            full = journal.record(*row).exception(timeout=30)
            kept += [] if full else [row]
        assert isinstance(full, JournalUnavailable)
        assert "its disk is full" in str(full)
        assert all(journal.lookup(at) == answer for at, answer in kept)
        filler.unlink()
        keep(journal, *ROWS[:50])
    with contextlib.closing(SqliteJournal(place, "a run")) as journal:
        assert all(journal.lookup(at) == answer for at, answer in [*kept, *ROWS[:50]])
    assert not list(small_disk.glob("*.damaged-*"))


def test_a_place_where_nothing_can_be_written_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match=r"file/journal\.sqlite"):
        SqliteJournal(str(tmp_path / "file" / "journal.sqlite"), "a run")
    with pytest.raises(JournalUnavailable, match="Is a directory"):
        SqliteJournal(str(tmp_path), "a run")


# Files that are damaged: a folder


def shard_of(folder):
    (shard,) = Path(folder).glob("part-*")
    return shard


def new_folder(folder, most):
    """Open a journal that closes a file with exactly so many records."""
    return FolderJournal(folder, linger=3600, quiet=3600, most=most)


@functools.cache
def sound_shard():
    """The name and the bytes of a file that has all ROWS."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(new_folder(folder, most=len(ROWS))) as journal:
            keep(journal, *ROWS, spent=Spent(1))
        (shard,) = Path(folder).iterdir()
        return shard.name, shard.read_bytes()


@settings(deadline=None, max_examples=40)
@given(place=PLACES, junk=st.none() | st.binary(min_size=1, max_size=50))
def test_a_damaged_file_of_the_folder_gives_its_sound_lines(place, junk):
    name, whole = sound_shard()
    start = place % len(whole)
    damaged = whole[:start] if junk is None else whole[:start] + junk + whole[start + len(junk) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(damaged)
        for _ in range(2):
            with contextlib.closing(FolderJournal(folder)) as journal:
                found = [at for at, answer in ROWS if journal.lookup(at) == answer]
                assert not any(journal.lookup(at) for at, _ in ROWS if at not in found)
                # Of a file whose index is sound it is known what it cost, whatever became of it.
                assert journal.spent() in (Spent(len(found)), Spent(len(ROWS)))
        (kept,) = Path(folder).iterdir()
        assert kept.read_bytes() == damaged
        assert kept.name == f"damaged-{name}" or len(found) == len(ROWS)


def test_the_log_says_how_much_of_a_damaged_file_was_read_once(tmp_path, caplog):
    name, whole = sound_shard()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        FolderJournal(str(tmp_path)).close()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "completions could be read" in said
    assert f"damaged-{name}" in said


def test_a_file_is_plain_gzip_and_is_opened_by_its_beginning(tmp_path):
    _, whole = sound_shard()
    assert len(gzip.decompress(whole).splitlines()) == 1 + len(ROWS)
    head = head_of(whole[:HEAD_BYTES])
    assert head.size == len(whole) > HEAD_BYTES
    assert head.spent == Spent(len(ROWS))
    assert [hash for hash, _ in ROW.iter_unpack(head.rows)] == [key_hash(at) for at, _ in ROWS]


def test_a_file_of_an_earlier_version_has_no_index_and_is_read(tmp_path):
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


def test_damage_after_the_opening_costs_what_is_damaged(tmp_path, caplog):
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


def test_a_file_that_another_process_has_put_aside_is_still_found(tmp_path):
    with opened_before(
        tmp_path, lambda file: file.rename(file.with_name(f"damaged-{file.name}"))
    ) as journal:
        assert all(journal.lookup(at) == answer for at, answer in ROWS)


def test_the_answers_of_a_file_that_is_gone_are_asked_again(tmp_path, caplog):
    with opened_before(tmp_path, lambda file: file.unlink()) as journal:
        assert not any(journal.lookup(at) for at, _ in ROWS)
        keep(journal, ROWS[0])
        assert journal.lookup(ROWS[0][0]) == ROWS[0][1]
    assert "asked again" in caplog.text


def test_a_file_that_is_being_written_is_not_read(tmp_path):
    with contextlib.closing(FolderJournal(str(tmp_path), linger=0)) as journal:
        keep(journal, (key(), value()))
    shard = shard_of(tmp_path)
    shard.rename(shard.with_name(f"unfinished-{shard.name}"))
    with contextlib.closing(FolderJournal(str(tmp_path))) as journal:
        assert journal.lookup(key()) is None


def test_what_another_worker_writes_is_seen_within_a_minute(tmp_path):
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


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match="file/folder"):
        FolderJournal(str(tmp_path / "file" / "folder"))


# A server that goes away


@pytest.fixture
def mortal_server():
    with running() as server:
        yield server


def test_a_dead_server_is_an_error_and_a_new_one_goes_on(mortal_server):
    with contextlib.closing(RedisJournal(mortal_server.url, "p", tries=0)) as journal:
        keep(journal, (key("before"), value()))
        mortal_server.kill()
        with pytest.raises(JournalUnavailable, match=r"Redis at .* cannot be used"):
            journal.lookup(key("before"))
        with pytest.raises(JournalUnavailable):
            keep(journal, (key("meanwhile"), value()))
        mortal_server.start()
        keep(journal, (key("after"), value()))
        assert journal.lookup(key("before")) == value()
        assert journal.lookup(key("meanwhile")) is None


def test_a_job_that_can_do_without_goes_on_and_says_so(mortal_server, caplog):
    now = [0.0]
    redis = RedisJournal(mortal_server.url, "p", tries=0)
    with contextlib.closing(TolerantJournal(redis, clock=lambda: now[0])) as journal:
        keep(journal, (key("before"), value()), spent=Spent(3))
        mortal_server.kill()
        keep(journal, (key("meanwhile"), value()))
        assert journal.lookup(key("before")) is None
        assert journal.spent() == NOTHING
        assert journal.missed == 3
        mortal_server.start()
        assert journal.lookup(key("before")) is None, "it is left alone for a while"
        now[0] = 11.0
        assert journal.lookup(key("before")) == value()
        assert journal.spent() == Spent(3)
    said = [record.getMessage() for record in caplog.records]
    assert [line[:29] for line in said] == [
        "going on without the journal,",
        "the journal is back; 4 calls ",
    ]


def test_a_required_server_that_is_not_there_is_said_at_the_start(tmp_path):
    pytest.importorskip("redis")
    spec = f"unix://{tmp_path}/nobody.sock"
    journal = open_journal(spec, "out", required=False)
    assert journal.lookup(key()) is None
    journal.close()
    journal = RedisJournal(spec, "p", tries=0)
    with pytest.raises(JournalUnavailable, match=r"nobody\.sock cannot be used"):
        journal.check()
    journal.close()


@pytest.mark.parametrize("where", ["u:hunter2@127.0.0.1:1/0", ":hunter2@h", "h/0?password=hunter2"])
def test_a_password_in_the_address_is_refused_and_not_repeated(where):
    with pytest.raises(JournalError, match="password_env=NAME") as caught:
        NewJournal(f"redis://{where}", "out")
    assert "hunter2" not in str(caught.value)


def test_a_user_without_a_password_is_none():
    assert resolved("redis://user@h/0?password_env=P", "o") == "redis://user@h/0?password_env=P"


def test_no_message_shows_the_servers_password(monkeypatch):
    pytest.importorskip("redis")
    monkeypatch.setenv("JOURNAL_PASSWORD", "hunter2")
    url = "redis://u@127.0.0.1:1/0?password_env=JOURNAL_PASSWORD"
    journal = RedisJournal(url, "p", tries=0)
    with pytest.raises(JournalUnavailable, match=r"127\.0\.0\.1:1") as caught:
        journal.check()
    journal.close()
    assert "hunter2" not in str(caught.value)


def test_the_servers_password_can_stay_in_the_environment(monkeypatch):
    pytest.importorskip("redis")
    url = "redis://127.0.0.1:1/0?password_env=JOURNAL_PASSWORD"
    with pytest.raises(JournalError, match=r"JOURNAL_PASSWORD .* is not set here"):
        RedisJournal(url, "p")
    monkeypatch.setenv("JOURNAL_PASSWORD", "hunter2")
    RedisJournal(url, "p").close()


def test_a_damaged_entry_of_the_server_is_asked_again(redis_server, caplog):
    with contextlib.closing(RedisJournal(redis_server.url, "damaged")) as journal:
        keep(journal, (key("1", "a"), value("1")), (key("2", "b"), value("2")))
        place = f"damaged:{key('1', 'a').request}"
        journal._redis.hset(place, "1", journal._redis.hget(place, "1")[:-3])
        assert journal.lookup(key("1", "a")) is None
        assert journal.lookup(key("2", "b")) == value("2")
    assert "a damaged entry of Redis at" in caplog.text


def test_jobs_with_other_prefixes_do_not_see_each_other(redis_server):
    url = redis_server.url
    with (
        contextlib.closing(RedisJournal(url, "job 1")) as one,
        contextlib.closing(RedisJournal(url, "job 2")) as two,
        contextlib.closing(RedisJournal(f"{url}?prefix=job%201", "ignored")) as same,
    ):
        keep(one, (key(), value()), spent=Spent(1))
        assert (two.lookup(key()), two.spent()) == (None, NOTHING)
        assert (same.lookup(key()), same.spent()) == (value(), Spent(1))


def test_without_the_client_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(JournalError, match="pip install"):
        open_journal("redis://localhost", "out", required=False)


# Which journal a flag means


@pytest.mark.parametrize(
    ("spec", "output", "meaning"),
    [
        ("none", "out", "none"),
        ("auto", "/data/out/", "sqlite:/data/out/journal.sqlite"),
        ("auto", "file:///data/out", "sqlite:/data/out/journal.sqlite"),
        ("auto", "gs://bucket/out/", "gs://bucket/out/journal"),
        ("sqlite:/tmp/j.db", "gs://bucket/out", "sqlite:/tmp/j.db"),
        ("redis://host/1?prefix=p", "out", "redis://host/1?prefix=p"),
        ("gs://bucket/journal/", "out", "gs://bucket/journal"),
        ("/data/journal", "out", "/data/journal"),
    ],
)
def test_what_a_flag_means(spec, output, meaning):
    assert resolved(spec, output) == meaning


def test_relative_paths_mean_the_folder_of_the_launch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolved("auto", "out") == f"sqlite:{tmp_path}/out/journal.sqlite"
    assert resolved("sqlite:j.db", "out") == f"sqlite:{tmp_path}/j.db"
    assert resolved("./journal", "out") == f"{tmp_path}/journal"


@pytest.mark.parametrize("spec", ["", "sqllite", "sqlite:", "sqlite:gs://bucket/j", "journal"])
def test_nonsense_is_refused(spec):
    with pytest.raises(JournalError, match="sqlite:PATH"):
        resolved(spec, "out")


def test_none_is_no_journal(tmp_path):
    assert open_journal("none", str(tmp_path), required=True) is None
    assert NewJournal("none", str(tmp_path))() is None


def test_a_worker_opens_the_journal_of_its_run_once(tmp_path):
    new_journal = NewJournal("auto", str(tmp_path), required=True)
    on_the_worker = pickle.loads(pickle.dumps(new_journal))
    journal = on_the_worker()
    assert journal is new_journal()
    keep(journal, (key(), value()))
    with pytest.raises(JournalInUse):
        open_journal("auto", str(tmp_path), required=False, run="another run")
    del journal
    gc.collect()
    later = open_journal("auto", str(tmp_path), required=False, run="another run")
    assert later.lookup(key()) == value()
    later.close()


# Groups


class _Gate:
    """A `write` that a test opens, and closes, and makes fail."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()
        self.groups, self.error = [], None

    def __call__(self, records):
        self.entered.set()
        assert self.open.wait(30)
        if self.error:
            raise self.error
        self.groups.append([record.value for record in records])


def numbered(number):
    return Record(key(), b"%d" % number, NOTHING)


def test_records_that_come_while_one_is_written_are_written_together():
    gate = _Gate()
    commit = GroupCommit(gate, most=3)
    first = commit.put(numbered(0))
    assert gate.entered.wait(30)
    rest = [commit.put(numbered(n)) for n in range(1, 6)]
    assert not any(future.done() for future in [first, *rest])
    gate.open.set()
    commit.close()
    assert all(future.done() for future in [first, *rest])
    assert gate.groups == [[b"0"], [b"1", b"2", b"3"], [b"4", b"5"]]


def test_a_group_waits_for_more_but_not_when_no_more_comes():
    gate = _Gate()
    gate.open.set()
    commit = GroupCommit(gate, linger=3600, quiet=0.01)
    commit.put(numbered(0)).result(timeout=30)
    commit.close()
    assert gate.groups == [[b"0"]]


def test_what_goes_wrong_is_said_to_everybody_who_waits_for_it():
    gate = _Gate()
    gate.open.set()
    gate.error = JournalUnavailable("full")
    commit = GroupCommit(gate)
    with pytest.raises(JournalUnavailable, match="full"):
        commit.put(numbered(0)).result(timeout=30)
    gate.error = None
    commit.put(numbered(1)).result(timeout=30)
    commit.close()


def test_each_record_of_a_group_that_is_not_written_counts_as_missed():
    gate = _Gate()
    gate.error = JournalUnavailable("full")
    commit = GroupCommit(gate)

    class Full:
        def record(self, key, value, spent):
            return commit.put(Record(key, value, spent))

    journal = TolerantJournal(Full())
    first = journal.record(key(0), value())
    assert gate.entered.wait(30)
    others = [journal.record(key(number), value()) for number in range(1, 4)]
    gate.open.set()
    commit.close()
    assert [kept.result() for kept in [first, *others]] == [None] * 4
    assert journal.missed == 4


def test_a_tolerant_journal_hides_no_bug():
    class Broken:
        def record(self, *_):
            future = Future()
            future.set_exception(ZeroDivisionError("a bug"))
            return future

    with pytest.raises(ZeroDivisionError):
        TolerantJournal(Broken()).record(key(), value()).result()


# Keys

BODY = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"a": {"x": 1, "y": 2}}]}


def hashed(model="openai/m", base_url=None, params=None, **body):
    return request_hash(model, base_url, params or {}, {**BODY, **body})


@pytest.mark.parametrize(
    "same",
    [
        hashed(api_key="sk-1"),
        hashed(params={"api_key": "sk-2", "timeout": 3, "num_retries": 9, "on_interrupt": "raise"}),
        hashed(stream=True),
        hashed(aws_secret_access_key="s", aws_session_token="t", vertex_credentials="{}"),
        hashed(temperature=None, extra_headers={}),
        hashed(params={"model": "openai/m"}, model="openai/other"),
        hashed(extra_headers={"Authorization": "Bearer 1", "X-Api-Key": "2"}, timeout=1),
        request_hash("openai/m", "", {"tools": BODY["tools"]}, {"messages": BODY["messages"]}),
        request_hash("x", None, {"tools": []}, {"model": "openai/m", **BODY}),
    ],
)
def test_who_asks_and_how_stubbornly_makes_no_other_question(same):
    assert same == hashed()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"params": {"top_p": 0.5}}, {"top_p": 0.5}),
        ({"params": {"top_p": 0.1}, "top_p": 0.5}, {"top_p": 0.5}),
        ({"base_url": "http://h/v1"}, {"base_url": "http://h/v1/"}),
        ({"base_url": "http://h/v1"}, {"params": {"api_base": "http://h/v1"}}),
        ({"extra_headers": {"Anthropic-Beta": "x"}}, {"extra_headers": {"anthropic-beta": "x"}}),
        ({"metadata": {"note": "not sent"}}, {}),
        ({"metadata": {"note": "not sent"}, "store": False}, {"store": False}),
    ],
)
def test_two_ways_to_ask_the_same_question(one, other):
    assert hashed(**one) == hashed(**other)


DIFFERENT = [
    {},
    {"model": "openai/n"},
    {"base_url": "http://h/v1"},
    {"base_url": "http://h/v2"},
    {"messages": [{"role": "user", "content": "hi "}]},
    {"messages": [{"role": "system", "content": "hi"}]},
    {"tools": [{"a": {"x": 2, "y": 1}}]},
    {"temperature": 0},
    {"temperature": 0.5},
    {"max_tokens": 10},
    {"n": 2},
    {"seed": 1},
    {"response_format": {"type": "json_object"}},
    {"extra_body": {"top_k": 3}},
    {"extra_headers": {"anthropic-beta": "x"}},
    {"drop_params": True},
    {"store": True},
    {"store": True, "metadata": {"note": "sent"}},
    {"something": "that nobody has heard of"},
]


def test_whatever_can_change_the_answer_makes_another_question():
    assert len({hashed(**given) for given in DIFFERENT}) == len(DIFFERENT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def backwards(value):
    """Return `value` with the keys of all objects in the opposite order."""
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


@given(body=st.dictionaries(st.text(), JSON, max_size=6))
def test_the_order_of_keys_does_not_matter(body):
    assert request_hash("m", None, {}, body) == request_hash("m", None, {}, backwards(body))


def test_journals_of_earlier_versions_are_still_found():
    assert hashed(temperature=0.5) == "7eeea1e7994a4c4d431630ad93cfbafb"


def test_a_request_that_is_no_json_is_the_rows_own_fault():
    with pytest.raises(InvalidRequestError, match="cannot be written as JSON"):
        hashed(seed=object())
