"""Files of JSON lines: damaged files, files of another kind, and bytes that are not UTF-8."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib

import orjson
import pytest
import zstandard
from batch_job import Job

from pipelines.inputs.compression import DamagedFile, opened
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.jsonl import _lines

COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
}
ROWS = [{"id": f"{n}", "prompt": f"{n} {os.urandom(40).hex()}"} for n in range(50)]
LINES = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    return Job(fake_server, tmp_path, capsys)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_compressed_file_is_read_to_its_end_or_is_an_error_that_names_it(tmp_path, suffix):
    whole = COMPRESSIONS[suffix](LINES)
    path = tmp_path / f"in.jsonl.{suffix}"

    def content(data):
        path.write_bytes(data)
        with opened(str(path)) as file:
            return file.read()

    assert content(whole) == LINES
    assert content(whole + whole) == LINES + LINES
    for cut in (0, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DamagedFile, match=f"{path} ends too early; replace it"):
            content(whole[:cut])


@pytest.mark.parametrize("name", ["plain.jsonl.gz", "zipped.jsonl"])
def test_the_first_bytes_and_not_the_name_decide_how_a_file_is_compressed(job, name):
    data = LINES if name == "plain.jsonl.gz" else gzip.compress(LINES)
    (job.folder / name).write_bytes(data)
    assert job.run(input=name) == 0
    assert job.rows("completions").keys() == {row["id"] for row in ROWS}


def test_half_a_compressed_file_sends_the_rows_before_the_damage_and_ends_with_status_1(job):
    rows = [{"id": f"{n}", "prompt": os.urandom(2000).hex()} for n in range(200)]
    whole = gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    path = job.folder / "in.jsonl"
    path.write_bytes(whole[: len(whole) // 2])
    assert job.run("--max_in_flight=8") == 1
    read = len(job.rows("completions"))
    assert 90 <= read <= 100
    reason = f"{path}, from line {read + 1} on: the compressed data of {path} ends too early"
    (failed,) = job.rows("failed").values()
    assert failed["id"] == f"in.jsonl:{read + 1}"
    assert failed["error_type"] == "UnreadableFile"
    assert failed["message"].startswith(reason)
    assert not failed["retryable"]
    path.write_bytes(whole)
    assert job.run() == 0
    assert len(job.rows("completions")) == len(job.server.requests) == 200
    assert not job.rows("failed")


ARRAY = orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)
WRONG = {
    "zip": (b"PK\x03\x04\x14\x00\x00\x00", "the file is a .zip archive; unpack it"),
    "parquet": (b"PAR1\x15\x04", "the file is a Parquet file"),
    "tar": (b"in.jsonl".ljust(257, b"\0") + b"ustar\x0000", "the file is a .tar archive"),
    "twice": (gzip.compress(LINES), "compressed twice"),
    "utf-16": (LINES.decode().encode("utf-16"), "must be UTF-8, got UTF-16 or UTF-32"),
    "utf-16-le": (LINES.decode().encode("utf-16-le"), "must be UTF-8, got UTF-16 or UTF-32"),
    "utf-32": (LINES.decode().encode("utf-32"), "must be UTF-8, got UTF-16 or UTF-32"),
    "cr": (LINES.replace(b"\n", b"\r"), "must end in LF, got CR only"),
    "array": (ARRAY, "got a JSON array; add --input_format json, or convert it"),
    "array in one line": (
        orjson.dumps(ROWS),
        "got a JSON array; add --input_format json, or convert it",
    ),
    "small array": (b'[\n{"prompt":"a"},\n{"prompt":"b"}\n]\n', "got a JSON array"),
    "object": (b'{\n  "prompt": "a",\n  "n": {}\n}\n', "got an object over several lines"),
    "csv": (b"id,prompt\na,one\nb,two\n", "got 'id,prompt' as its first line"),
    "tsv": (b"id\tprompt\na\tone\n", "as its first line"),
    "python": (b"{'prompt':'x'}\n" * 10, "as its first line, and no object after it"),
    "text": (b"Tell me of x\nTell me of y\n", "got 'Tell me of x' as its first line"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_of_another_kind_is_refused_once_before_the_first_request(job, kind):
    data, reason = WRONG[kind]
    path = job.folder / "in.jsonl"
    path.write_bytes(gzip.compress(data) if kind == "twice" else data)
    job.write({"prompt": "x"}, name="another.jsonl")
    assert job.run(input="*.jsonl") == 2
    (line,) = job.printed.err.strip().splitlines()
    assert line.startswith(f"batch_complete: --input {path}: ")
    assert reason in line
    assert not job.server.requests


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"nonsense",
        b'nonsense\n{"prompt":"x"}\n',
        b'{"prompt":"x"}\nnonsense\n',
        b'[1]\n{"prompt":"x"}\n',
        b'{"prompt":"x"\n{"prompt":"y"\n',
        b"{'prompt':'x'}\n{'prompt':'y'}\n",
        b'{"prompt":"caf\xe9"}\n{"prompt":"x"}\n',
        b'\xef\xbb\xbf{"prompt":"x"}\r\n{"prompt":"y"}\r\n',
        b'{"prompt":"' + b"x" * 20_000,
    ],
)
def test_a_file_with_some_broken_rows_is_judged_row_by_row(data):
    assert kinds.fault_of_lines(data[: kinds.HEAD_BYTES]) is None


@pytest.mark.parametrize("head", range(14))
def test_a_line_beyond_the_limit_is_one_line_of_which_the_beginning_is_kept(head):
    data = b"ab\n" + b"x" * 40 + b"\nyes\n\nlast"
    lines = list(_lines(data[:head], io.BytesIO(data[head:]), most=10))
    assert [line.rstrip(b"\n") for line in lines][:1] == [b"ab"]
    assert len(lines) == 5
    assert lines[1].startswith(b"xxxxxxxxxx")
    assert 10 < len(lines[1]) <= 25
    assert lines[-1] == b"last"


def test_a_row_that_is_not_utf_8_fails_and_is_not_sent(job):
    (job.folder / "in.jsonl").write_bytes(
        b'{"id":"a","prompt":"Tell me of caf\xe9"}\n{"id":"b","prompt":"caf\xc3\xa9"}\n'
    )
    assert job.run() == 0
    assert [r.json["messages"][0]["content"] for r in job.server.requests] == ["café"]
    (failed,) = job.rows("failed").values()
    assert failed["id"] == "in.jsonl:1"
    assert failed["message"].endswith(
        "line 1: a row must be UTF-8, got 0xe9 at byte 35; save the data as UTF-8"
    )
    assert failed["input"] == '{"id":"a","prompt":"Tell me of caf\\xe9"}'


def test_a_file_name_that_is_not_utf_8_does_not_end_the_job(job):
    name = os.fsdecode(b"caf\xe9.jsonl")
    (job.folder / name).write_bytes(b'{"prompt":"x"}\nnonsense\n')
    for flags in ([], ["--keep_order"]):
        assert job.run(*flags, input=name) == 0
        assert job.rows("completions").keys() == {"caf\\xe9.jsonl:1"}
        assert job.rows("failed").keys() == {"caf\\xe9.jsonl:2"}


def test_all_files_of_a_pattern_that_the_shell_expanded_are_read(job, monkeypatch):
    for name in "abc":
        job.write({"prompt": name}, name=f"{name}.jsonl")
    argv = job.argv("a.jsonl")
    argv[1:2] = [str(job.folder / f"{name}.jsonl") for name in "abc"]
    assert job.call([*argv, "--input", str(job.folder / "b.jsonl")]) == 0
    assert job.rows("completions").keys() == {"a.jsonl:1", "b.jsonl:1", "c.jsonl:1"}
    monkeypatch.chdir(job.folder)
    argv = job.argv("a.jsonl")
    argv[1] = "*.jsonl"
    assert job.call([*argv, "--overwrite"]) == 0
    assert job.report["replayed"] == 3


@pytest.mark.parametrize("stray", [["b.jsonl"], ["--max_tokens=9", "b.jsonl"]])
def test_a_word_without_a_flag_is_refused(job, stray):
    job.write({"prompt": "x"})
    assert job.run(*stray) == 2
    assert "unexpected argument 'b.jsonl'; each value needs its flag" in job.printed.err
    assert not job.server.requests


LARGE = 2**128 - 1


@pytest.mark.parametrize("flags", [[], ["--keep_order"], ["--emit_deltas"]])
def test_integers_beyond_64_bits_come_out_unchanged(job, flags):
    own = {"hash": LARGE, "fits": 2**63, "neg": -(2**63) - 1, "in": [{"n": LARGE}], "pi": 3.25}
    job.write(
        *(f'{{"id":"{n}","prompt":"x","hash":{LARGE}}}' for n in "a"),
        str({"id": LARGE, "prompt": "y", **own}).replace("'", '"'),
        str({"id": "bad", **own}).replace("'", '"'),
        str({"id": "sent", "prompt": "z", "seed": LARGE}).replace("'", '"'),
    )
    assert job.run(*flags) == 0
    done, failed = job.rows("completions"), job.rows("failed")
    assert done.keys() == {"a", str(LARGE)}
    text = b"".join(file.read_bytes() for file in job.out.glob("*-*.jsonl")).decode()
    whole = [line for line in text.splitlines() if f'"hash":{LARGE}' in line]
    assert len(whole) >= 3
    assert all('"neg":-9223372036854775809' in line for line in whole if '"neg"' in line)
    assert "seed" in failed["sent"]["message"]
    assert "must not have an integer beyond 64 bits" in failed["sent"]["message"]
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    again.run(input="out/failed-*.jsonl")
    text = b"".join(file.read_bytes() for file in again.out.glob("failed-*.jsonl")).decode()
    assert f'"hash":{LARGE}' in text
