"""Shards while they are written: when they become readable, and what a failure leaves behind."""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
import time
from collections import deque

import pytest

from pipelines.errors import OutputGone
from pipelines.outputs.formats.base import Lines
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.shards.manifest import Manifest, runs
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.writer import WRITERS, ShardWriter
from transforms.disks import DiskFull

RUN = "20261130T174005123-3f9a1c"


def writer_of(folder, format=None, kind="completions", begin=True, **given):
    usual = {"rows": 3, "seconds": 600, "alone": True}
    settings = ShardSettings(str(folder), RUN, **{**usual, **given})
    if begin and not (folder / "_manifest").exists():
        Manifest(str(folder), RUN, alone=True).begin({"model": "m"})
    return ShardWriter(settings, kind, format or JsonLines())


def readable(folder):
    """Return the lines that a reader of the listed shards has, in order."""
    (run,) = runs(str(folder))
    lines = []
    for shard in run.shards:
        data = (folder / shard.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard.sha256
        assert (len(data), len(data.splitlines())) == (shard.bytes, shard.rows)
        lines += data.splitlines()
    return lines


def unfinished(folder):
    return list((folder / "_unfinished").iterdir()) if (folder / "_unfinished").exists() else []


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_full_shard_is_readable_and_the_next_one_is_not_yet(tmp_path):
    writer = writer_of(tmp_path, at_once=True)
    for number in range(5):
        writer.write(b"%d" % number)
    assert readable(tmp_path) == [b"0", b"1", b"2"]
    assert len(unfinished(tmp_path)) == 1
    assert [shard.rows for shard in writer.take()] == [3, 2]
    assert readable(tmp_path) == [b"0", b"1", b"2", b"3", b"4"]
    assert writer.take() == []
    writer.close()


def test_an_old_shard_becomes_readable_although_no_further_row_comes(tmp_path):
    writer = writer_of(tmp_path, at_once=True, seconds=0.05)
    writer.write(b"0")
    wait_until(lambda: readable(tmp_path) == [b"0"])
    writer.write(b"1")
    wait_until(lambda: readable(tmp_path) == [b"0", b"1"])
    assert len(writer.take()) == 2
    writer.close()


def test_processes_that_write_at_once_share_no_names_and_no_manifest(tmp_path):
    first, second = (writer_of(tmp_path, at_once=True, alone=False) for _ in range(2))
    first.write(b"0")
    second.write(b"1")
    names = {shard.name for writer in (first, second) for shard in writer.take()}
    assert len(names) == 2
    assert sorted(readable(tmp_path)) == [b"0", b"1"]
    assert len(list((tmp_path / "_manifest").iterdir())) == 3  # the facts, and one for each
    first.close()
    second.close()


def test_shards_that_wait_for_the_end_are_not_listed(tmp_path):
    writer = writer_of(tmp_path, seconds=0.001)
    for number in range(4):
        writer.write(b"%d" % number)
    taken = writer.take()
    assert readable(tmp_path) == []
    assert {file.name for file in unfinished(tmp_path)} == {shard.name for shard in taken}


def test_a_failed_bundle_leaves_no_files_of_a_worker_that_lives_on(tmp_path):
    writer = writer_of(tmp_path)
    for number in range(4):
        writer.write(b"%d" % number)
    writer.discard()
    assert unfinished(tmp_path) == []
    writer.write(b"4")
    assert [shard.rows for shard in writer.take()] == [1]


def test_the_rows_of_a_job_that_stops_become_readable(tmp_path):
    writers = [writer_of(tmp_path, at_once=True, kind=kind) for kind in ("completions", "deltas")]
    for writer in writers:
        writer.write(b"0")
    WRITERS.close()
    assert readable(tmp_path) == [b"0", b"0"]
    assert unfinished(tmp_path) == []
    wait_until(lambda: "shards" not in [thread.name for thread in threading.enumerate()])


class Interrupted(Lines):
    """Writes half of a record; then the user presses Ctrl-C."""

    def write(self, record):
        if record == b"whole":
            super().write(record)
        else:
            self._file.write(record[:2])
            raise KeyboardInterrupt


class InterruptedLines(JsonLines):
    def open(self, file):
        return Interrupted(file)


def test_a_shard_with_half_a_row_is_never_readable(tmp_path):
    writer = writer_of(tmp_path, InterruptedLines(), at_once=True)
    writer.write(b"whole")
    with pytest.raises(KeyboardInterrupt):
        writer.write(b"half")
    WRITERS.close()
    assert readable(tmp_path) == []
    assert unfinished(tmp_path) == []


class Full(Lines):
    def write(self, record):
        raise OSError(errno.ENOSPC, "No space left on device")


class FullLines(JsonLines):
    def open(self, file):
        return Full(file)


def test_a_full_disk_is_named_and_the_unfinished_shard_removed(tmp_path):
    writer = writer_of(tmp_path, FullLines(), at_once=True)
    with pytest.raises(DiskFull, match=f"cannot write to {tmp_path}/completions-{RUN}-"):
        writer.write(b"0")
    with pytest.raises(DiskFull):
        writer.take()
    writer.close()
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_removed_folder_is_named(tmp_path, at_once):
    folder = tmp_path / "out"
    folder.mkdir()
    writer = writer_of(folder, at_once=at_once)
    writer.write(b"0")
    shutil.rmtree(folder)
    said = f"the output folder {folder} was removed or renamed"
    with pytest.raises(OutputGone, match=said):
        deque(map(writer.write, [b"1", b"2", b"3", b"4"]))
    writer.close()
    assert not folder.exists()


def test_an_error_of_the_thread_that_closes_old_shards_reaches_the_job(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    writer = writer_of(folder, at_once=True, seconds=0.05)
    writer.write(b"0")
    shutil.rmtree(folder)
    wait_until(lambda: writer.error is not None)
    with pytest.raises(OutputGone):
        writer.write(b"1")
    with pytest.raises(OutputGone):
        writer.take()
    writer.close()
