"""The files that `--input` names: what a shell finds, and nothing else."""

from __future__ import annotations

import os

import pytest

from pipelines.errors import UsageError
from pipelines.inputs.files import check_patterns, match_files
from pipelines.inputs.paths import common_folder, find


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"prompt":"x"}\n')


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("./*.jsonl", ["./a.jsonl", "./b.jsonl"]),
        ("sub/../[ab].jsonl", ["sub/../a.jsonl", "sub/../b.jsonl"]),
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("[!a].jsonl", ["b.jsonl"]),
        ("[^a].jsonl", ["b.jsonl"]),
        ("a.jsonl", ["a.jsonl"]),
        ("no.jsonl", []),
        ("a.jsonl/*", []),
        ("*/c.jsonl", ["sub/c.jsonl"]),
        ("su*/deep/*", ["sub/deep/d.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"]),
        ("**.jsonl", ["a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"]),
        ("s**d.jsonl", ["sub/deep/d.jsonl"]),
        ("sub/**/d.jsonl", ["sub/deep/d.jsonl"]),
        (".*.jsonl", [".hidden.jsonl", "._a.jsonl"]),
        (".git/*", [".git/e.jsonl"]),
    ],
)
def test_a_pattern_finds_what_a_shell_finds(folder, pattern, found):
    make(folder, "a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl")
    make(folder, "._a.jsonl", ".hidden.jsonl", ".git/e.jsonl", "sub/.x/f.jsonl")
    assert find(pattern) == sorted(found)
    absolute = find(f"{folder}/{pattern}")
    assert absolute == sorted(f"{folder}/{path}" for path in found)


@pytest.mark.parametrize("name", ["data [v1].jsonl", "what?.jsonl", "*.jsonl", "[a].jsonl"])
def test_a_file_with_exactly_this_name_comes_before_the_pattern(folder, name):
    make(folder, name, "a.jsonl")
    assert find(name) == [name]


def test_a_pattern_enters_links_to_folders_and_a_circle_of_links_ends(folder):
    make(folder, "data/a/in.jsonl", "elsewhere/in.jsonl")
    (folder / "data" / "b").symlink_to("../elsewhere")
    (folder / "data" / "again").symlink_to(".")
    (folder / "data" / "up").symlink_to("..")
    assert find("data/[ab]/in.jsonl") == ["data/a/in.jsonl", "data/b/in.jsonl"]
    assert len(find("data/**/in.jsonl")) == 2


def test_several_patterns_find_each_file_once_in_the_order_of_the_paths(folder):
    make(folder, "b.jsonl", "a.jsonl")
    found = match_files(["b.jsonl", "*.jsonl", f"{folder}/b.jsonl", "./a.jsonl"])
    assert sorted(os.path.abspath(file.path) for file in found) == [
        f"{folder}/a.jsonl",
        f"{folder}/b.jsonl",
    ]


@pytest.mark.parametrize(
    ("patterns", "shared"),
    [
        (["a/*.jsonl"], "a/"),
        (["*.jsonl"], ""),
        (["a/x.jsonl", "a/y.jsonl"], "a/"),
        (["a/x.jsonl", "b/x.jsonl"], ""),
        (["ab/x.jsonl", "ac/x.jsonl"], ""),
        (["/a//b/*.jsonl"], "/a/b/"),
        (["gs://bucket/a/*.jsonl"], "gs://bucket/a/"),
        (["set[1]/x.jsonl"], "set[1]/"),
    ],
)
def test_the_folder_that_all_paths_share_is_not_part_of_an_id(folder, patterns, shared):
    make(folder, "set[1]/x.jsonl")
    assert common_folder(patterns) == shared


def refusal(*patterns):
    with pytest.raises(UsageError) as raised:
        check_patterns(patterns)
    return str(raised.value)


def test_each_pattern_must_match_files_that_can_be_read(folder):
    make(folder, "a.jsonl", "sub/b.jsonl")
    (folder / "gone.jsonl").symlink_to("nowhere")
    assert refusal("a.jsonl", "none*.jsonl") == "--input none*.jsonl matches no file"
    assert refusal("sub") == (
        "--input sub matches a folder; add a pattern for its files, as in sub/*.jsonl"
    )
    assert refusal("gone.jsonl").startswith("cannot read --input gone.jsonl: [Errno 2] No such")
    check_patterns(["a.jsonl", "*/*.jsonl"])


def test_a_named_pipe_is_refused_because_it_can_be_read_once_only(folder):
    os.mkfifo(folder / "p.jsonl")
    for pattern in ("p.jsonl", "*.jsonl"):
        assert refusal(pattern).startswith("--input p.jsonl must be a file, because the job reads")
