"""The manifests of an output folder: what a reader learns of each run, at any moment."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading

import orjson
import pytest

from pipelines.outputs.claims import claimed, is_claimed
from pipelines.outputs.shards import names
from pipelines.outputs.shards.manifest import Manifest, Run, Shard, remove, runs
from pipelines.outputs.shards.storage import storage_of

RUN = "20261130T174005123-3f9a1c"
FACTS = {"model": "openai/m", "input": ["in.jsonl"]}


def shard(number, rows=2, kind="completions", run=RUN):
    name = names.shard_name(kind, run, f"{number:05d}", ".jsonl")
    return Shard(name, kind, rows, 10, hashlib.sha256(name.encode()).hexdigest())


def written(folder, *shards):
    for each in shards:
        (folder / each.name).write_text("0123456789")
    return shards


@pytest.fixture(params=[True, False], ids=["one-writer", "many-writers"])
def manifest(request, tmp_path):
    return Manifest(str(tmp_path), RUN, alone=request.param)


def test_a_running_job_has_facts_and_the_shards_so_far(tmp_path, manifest):
    manifest.begin(FACTS)
    assert runs(str(tmp_path)) == [Run(RUN, FACTS, False, ())]
    first, failed = written(tmp_path, shard(1), shard(2, 3, "failed-rows"))
    manifest.add([failed])
    manifest.add([first])
    (run,) = runs(str(tmp_path))
    assert (run.complete, run.shards) == (False, (first, failed))
    assert (run.of("failed-rows"), run.rows("completions"), run.rows("deltas")) == ((failed,), 2, 0)


def test_a_shard_that_is_listed_and_not_renamed_yet_is_left_out(tmp_path, manifest):
    manifest.begin(FACTS)
    manifest.add(written(tmp_path, shard(1)))
    manifest.add([shard(2)])
    assert runs(str(tmp_path)) == [Run(RUN, FACTS, False, (shard(1),))]


def test_a_complete_run_is_one_file(tmp_path, manifest):
    manifest.begin(FACTS)
    manifest.add(written(tmp_path, shard(1)))
    manifest.end(FACTS, [shard(1)])
    assert runs(str(tmp_path)) == [Run(RUN, FACTS, True, (shard(1),))]
    assert [path.name for path in (tmp_path / "_manifest").iterdir()] == [f"{RUN}.jsonl"]


def test_a_manifest_is_sound_at_every_byte(tmp_path):
    made = Manifest(str(tmp_path), RUN, alone=True)
    made.begin(FACTS)
    made.add(written(tmp_path, shard(1)))
    made.add(written(tmp_path, shard(2)))
    made.end(FACTS, [shard(1), shard(2)])
    path = tmp_path / "_manifest" / f"{RUN}.jsonl"
    whole = path.read_bytes()
    seen = []
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        (run,) = runs(str(tmp_path))
        seen.append((bool(run.facts), len(run.shards), run.complete))
    assert sorted(set(seen)) == [
        (False, 0, False),
        (True, 0, False),
        (True, 1, False),
        (True, 2, False),
        (True, 2, True),
    ]
    assert seen == sorted(seen)


def test_the_newest_run_comes_first(tmp_path):
    ids = []
    for _ in range(3):
        ids.append(names.new_run(ids[-1] if ids else ""))
        Manifest(str(tmp_path), ids[-1], alone=True).begin(FACTS)
    assert [run.id for run in runs(str(tmp_path))] == ids[::-1]


def test_an_id_sorts_after_that_of_an_earlier_run_although_the_clock_was_set_back():
    later = "29991231T235959998-ffffff"
    assert names.new_run(later) > later
    assert names.kind_and_run(f"deltas-{names.new_run(later)}-00001.jsonl")


def test_what_no_job_wrote_is_ignored(tmp_path):
    folder = tmp_path / "_manifest"
    folder.mkdir()
    other = {"name": "../secret.jsonl", "kind": "completions", "rows": 1, "bytes": 1, "sha256": ""}
    lines = [b"nonsense", b"[1]", b'{"shard": 5}', orjson.dumps({"shard": other})]
    moved = orjson.dumps({"shard": {**other, "name": shard(1, run=names.new_run()).name}})
    (folder / f"{RUN}.jsonl").write_bytes(b"\n".join([*lines, moved, b"\xff"]) + b"\n")
    (folder / "notes.txt").write_text("mine")
    assert runs(str(tmp_path)) == [Run(RUN, {}, False, ())]


def test_a_shard_that_was_removed_from_a_complete_run_is_missing(tmp_path, manifest):
    manifest.begin(FACTS)
    written(tmp_path, shard(1))
    manifest.end(FACTS, [shard(1), shard(2)])
    (run,) = runs(str(tmp_path))
    assert run.shards == (shard(1),)
    assert run.missing == (shard(2).name,)
    assert run.damage == ""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'{"shard":', b'{"shrad":', "it lists 1 shards, but ends with the number 2"),
        (b'"rows":2', b'"rows":"many"', "a line does not describe a shard of this run"),
        (b'{"end"', b"{end", "a line is not JSON"),
        (b'{"shards":2}', b"{}", "it lists 2 shards, but ends with the number -1"),
    ],
)
def test_an_edited_manifest_is_damaged(tmp_path, manifest, old, new, reason):
    manifest.begin(FACTS)
    manifest.end(FACTS, [shard(1), shard(2)])
    path = tmp_path / "_manifest" / f"{RUN}.jsonl"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    (run,) = runs(str(tmp_path))
    assert run.damage == reason


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_a_manifest_has_no_runs(tmp_path, name):
    assert runs(str(tmp_path / name)) == []


def test_many_threads_list_shards_at_once(tmp_path, manifest):
    manifest.begin(FACTS)
    shards = written(tmp_path, *map(shard, range(40)))
    threads = [threading.Thread(target=manifest.add, args=([each],)) for each in shards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(str(tmp_path))[0].shards == shards


def test_a_removed_manifest_leaves_those_of_other_runs(tmp_path, manifest):
    manifest.begin(FACTS)
    manifest.add(written(tmp_path, shard(1)))
    other = names.new_run(RUN)
    Manifest(str(tmp_path), other, alone=True).begin(FACTS)
    remove(storage_of(str(tmp_path)), RUN)
    assert [run.id for run in runs(str(tmp_path))] == [other]


def test_a_claim_is_seen_by_others_and_not_taken_by_looking(tmp_path):
    assert not is_claimed(str(tmp_path))
    with claimed(str(tmp_path)):
        assert is_claimed(str(tmp_path))
    assert not is_claimed(str(tmp_path / "missing"))


def test_the_manifests_of_a_local_folder_are_read_without_beam():
    code = "import sys, pipelines.outputs.shards.manifest as m; m.runs('.');"
    code += "from pipelines.outputs import claims; print('apache_beam' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
