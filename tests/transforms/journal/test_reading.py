"""Reading a journal while a job writes it: all entries come, and nothing about the job changes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from redis_server import running

from transforms.connections.redis import connect
from transforms.journal.base import JournalError, JournalUnavailable, Spent, pack, unpack
from transforms.journal.folder.journal import FolderJournal
from transforms.journal.key import JournalKey
from transforms.journal.readers import open_reader
from transforms.journal.redis import RedisJournal
from transforms.journal.sqlite.journal import SqliteJournal

REQUEST = "0f" * 16


def key(number):
    return JournalKey(f"row {number}", REQUEST)


def value(number, size=0):
    return b'{"text":"answer %d%s"}' % (number, b" " * size)


def found(reader):
    return {entry.key.id: unpack(entry.stored) for entry in reader.new()}


def record(journal, numbers, size=0):
    for done in [journal.record(key(n), value(n, size), Spent(3, 0.5)) for n in numbers]:
        done.result(timeout=60)


def opened(kind, tmp_path, alone=True):
    if kind == "folder":
        path = tmp_path / "journal"
        return FolderJournal(str(path), linger=0.0, quiet=0.0), open_reader(str(path))
    path = tmp_path / "journal.sqlite"
    return SqliteJournal(str(path), "run", alone=alone), open_reader(f"sqlite:{path}")


@pytest.mark.parametrize("kind", ["folder", "sqlite", "sqlite of several processes"])
def test_each_record_is_found_while_the_journal_is_open(tmp_path, kind):
    journal, reader = opened(kind, tmp_path, alone=kind == "sqlite")
    assert found(reader) == {}
    record(journal, [1])
    assert found(reader) == {"row 1": value(1)}
    record(journal, [2, 3])
    new = found(reader)
    assert new.items() >= {"row 2": value(2), "row 3": value(3)}.items()
    journal.close()
    assert found(open_reader_again(kind, tmp_path)) == {f"row {n}": value(n) for n in (1, 2, 3)}


def open_reader_again(kind, tmp_path):
    at = "journal" if kind == "folder" else "journal.sqlite"
    return open_reader(f"{'' if kind == 'folder' else 'sqlite:'}{tmp_path / at}")


def test_records_are_found_across_checkpoints_of_the_log(tmp_path):
    journal, reader = opened("sqlite", tmp_path)
    seen = {}
    for start in range(0, 3000, 100):  # the log begins again after about a thousand pages
        record(journal, range(start, start + 100), size=5000 if start % 500 == 0 else 0)
        seen |= found(reader)
        assert len(seen) == start + 100
    journal.close()
    assert all(seen[f"row {n}"] == value(n, 5000 if n // 100 % 5 == 0 else 0) for n in range(3000))


def test_a_reader_that_sees_no_change_reads_nothing(tmp_path):
    journal, reader = opened("sqlite", tmp_path)
    record(journal, range(10))
    assert len(found(reader)) == 10
    found(reader)  # once more, because the last page may have been half written
    assert found(reader) == {}
    journal.close()


def test_reading_changes_no_file_and_creates_none(tmp_path):
    journal, reader = opened("sqlite", tmp_path)
    record(journal, range(10))

    def state():
        files = sorted(tmp_path.iterdir())
        return [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]

    before = state()
    assert len(found(reader)) == 10
    assert state() == before
    journal.close()
    before = state()
    assert len(found(open_reader_again("sqlite", tmp_path))) == 10
    assert state() == before


def test_the_journal_of_a_killed_process_is_read_with_its_log(tmp_path):
    script = f"""
import os, sys
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.journal.key import JournalKey
journal = SqliteJournal({str(tmp_path / "journal.sqlite")!r}, "run", alone=True)
done = [journal.record(JournalKey(f"row {{n}}", {REQUEST!r}), b'{{"n":%d}}' % n) for n in range(50)]
[each.result(timeout=60) for each in done]
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=os.getcwd())
    assert killed.returncode == -9
    assert os.path.exists(tmp_path / "journal.sqlite-wal")
    assert len(found(open_reader(f"sqlite:{tmp_path}/journal.sqlite"))) == 50
    assert os.path.exists(tmp_path / "journal.sqlite-wal")


def test_a_damaged_entry_is_left_out(tmp_path):
    journal, reader = opened("sqlite", tmp_path)
    record(journal, range(5))
    journal.close()
    path = tmp_path / "journal.sqlite"
    data = path.read_bytes()
    at = data.index(pack(value(3)))
    path.write_bytes(data[: at + 4] + bytes([data[at + 4] ^ 1]) + data[at + 5 :])
    assert sorted(found(reader)) == ["row 0", "row 1", "row 2", "row 4"]


def test_a_journal_that_does_not_exist_has_no_entries_and_is_not_made(tmp_path):
    assert found(open_reader(f"sqlite:{tmp_path}/journal.sqlite")) == {}
    assert found(open_reader(f"{tmp_path}/journal")) == {}
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_place_of_the_journal_is_named(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_text("my notes, which are longer than the name of a database")
    with pytest.raises(JournalError, match=r"journal\.sqlite exists but is not a journal"):
        found(open_reader(f"sqlite:{path}"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(JournalError, match="must be a file"):
        found(open_reader(f"sqlite:{path}"))


def test_files_of_a_folder_that_are_unfinished_are_left_alone(tmp_path):
    journal, reader = opened("folder", tmp_path)
    record(journal, [1])
    [part] = (tmp_path / "journal").glob("part-*")
    (tmp_path / "journal" / f"unfinished-{part.name}").write_bytes(part.read_bytes()[:50])
    (tmp_path / "journal" / "part-9-9-000001.jsonl.gz").write_bytes(part.read_bytes()[:-30])
    names = sorted(os.listdir(tmp_path / "journal"))
    assert found(reader) == {"row 1": value(1)}
    assert sorted(os.listdir(tmp_path / "journal")) == names
    journal.close()


@pytest.fixture
def redis():
    with running() as server:
        yield server


def test_entries_in_redis_are_found_by_their_prefix_each_once(redis):
    journal, other = RedisJournal(redis.url, "p*[a]"), RedisJournal(redis.url, "pxa")
    reader = open_reader(redis.url, "p*[a]")
    assert found(reader) == {}
    record(journal, range(3))  # of one request
    record(other, [7])
    assert found(reader) == {f"row {n}": value(n) for n in range(3)}
    assert found(reader) == {}
    requests = [f"{n:032x}" for n in range(2_500)]
    for done in [journal.record(JournalKey(each, each), value(5)) for each in requests]:
        done.result(timeout=60)
    assert found(reader).keys() == {*requests}
    record(journal, [3])
    assert found(reader)["row 3"] == value(3)
    journal.close()
    other.close()


def test_a_request_of_many_rows_in_redis_is_read_in_pieces(redis):
    journal = RedisJournal(redis.url, "p")
    record(journal, range(1_000))
    assert found(open_reader(redis.url, "p")) == {f"row {n}": value(n) for n in range(1_000)}
    journal.close()


def test_redis_keys_of_others_are_left_alone_and_damage_is_no_error(redis):
    client, _ = connect(redis.url, "p", 1)
    client.set(f"p:{REQUEST}", "text")
    client.hset("p:spent", "tokens", 1)
    client.hset("p:abc", "id", "value")
    client.hset(f"p:{'1' * 32}", b"\xff", b"\x00damage")
    [entry] = open_reader(redis.url, "p").new()
    assert entry.stored == b"\x00damage"
    client.close()


def test_a_server_that_is_not_there_is_an_error_in_one_line(tmp_path):
    pytest.importorskip("redis")
    reader = open_reader(f"unix://{tmp_path}/none.sock", "p")
    with pytest.raises(JournalUnavailable, match="cannot be used"):
        list(reader.new())
