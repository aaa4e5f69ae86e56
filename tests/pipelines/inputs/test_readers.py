"""The rows of a file in each text format: what they are, and where reading ends with a reason."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib

import orjson
import pytest
import zstandard
from batch_job import Job
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inputs.file_rows import lines_of
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.delimited import Delimited


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    return Job(fake_server, tmp_path, capsys)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file with this name and content: rows, and the last reason."""

    def read(name, data, columns=None, **options):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(lines_of(DataFile(str(path), name, name), InputOptions(**options), columns))

    return read


def good(lines):
    return [json.loads(line.text) for line in lines if not line.fault]


def reasons(lines):
    return [f"{line.location}: {line.fault}" for line in lines if line.fault]


ONE, TWO = {"id": "1", "prompt": "a"}, {"id": "2", "prompt": "b"}


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("a.csv", "id,prompt\n1,a\n2,b\n", [ONE, TWO]),
        ("crlf.csv", "id,prompt\r\n1,a\r\n2,b\r\n", [ONE, TWO]),
        ("cr.csv", "id,prompt\r1,a\r2,b", [ONE, TWO]),
        ("bom.csv", "\ufeffid,prompt\n1,a\n\n2,b", [ONE, TWO]),
        ("excel.csv", "sep=;\r\nid;prompt\r\n1;a\r\n2;b\r\n", [ONE, TWO]),
        ("a.tsv", "id\tprompt\n1\ta\n2\tb\n", [ONE, TWO]),
        (
            "quoted.csv",
            'id,prompt\n1,"a ""b""\r\nc, d"\n',
            [{"id": "1", "prompt": 'a "b"\r\nc, d'}],
        ),
        ("empty.csv", 'id,prompt,x\n1,,""\n', [{"id": "1", "prompt": None, "x": ""}]),
        ("nulls.csv", 'id,prompt,x\n"a,""",,""\n', [{"id": 'a,"', "prompt": None, "x": ""}]),
        ("index.csv", ",prompt\n0,a\n", [{"column_1": "0", "prompt": "a"}]),
        ("header.csv", "id,prompt\n", []),
        ("array.json", '[{"id":"1",\n"prompt":"a"},\n\n {"id":"2","prompt":"b"} ]\n', [ONE, TWO]),
        ("objects.json", '{"id":"1",\n"prompt":"a"}\n{\n"id":"2","prompt":"b"}', [ONE, TWO]),
        ("lines.json", '{"id":"1","prompt":"a"}\n{"id":"2","prompt":"b"}\n', [ONE, TWO]),
        ("empty.json", "[]", []),
        ("array", '[\n{"id":"1","prompt":"a"}, {"id":"2","prompt":"b"}]', [ONE, TWO]),
        ("a.ndjson", '{"id":"1","prompt":"a"}\n{"id":"2","prompt":"b"}', [ONE, TWO]),
        ("a.txt", "a b\r\n\n c\n", [{"text": "a b"}, {"text": " c"}]),
        ("rows.txt", '{"id":"1","prompt":"a"}\n', [ONE]),
    ],
)
def test_the_name_and_the_first_bytes_of_a_file_say_its_format(read, name, data, rows):
    lines = read(name, data)
    assert good(lines) == rows
    assert not reasons(lines)


def test_the_flags_say_what_a_file_does_not(read):
    assert good(
        read("a", "1;a\n2;b\n", format="csv", csv_header=("id", "prompt"), csv_delimiter=";")
    ) == [ONE, TWO]
    assert good(read("b.csv", "id,prompt\n1,café\n".encode("latin-1"), encoding="latin-1")) == [
        {"id": "1", "prompt": "café"}
    ]
    utf16 = '{"id":"1","prompt":"é"}\n'.encode("utf-16")
    assert good(read("c.jsonl", utf16, encoding="utf-16")) == [{"id": "1", "prompt": "é"}]
    assert good(read("d.md", "# A\n\nb\n", format="document")) == [
        {"path": "d.md", "text": "# A\n\nb\n"}
    ]
    assert good(read("e.csv", "id,prompt\n1,a\n", columns=["prompt"])) == [{"prompt": "a"}]


def test_rows_are_counted_after_the_header_and_lines_from_the_first(read):
    lines = read("a.csv", 'id,prompt\n1,"a\nb"\n\n2,c\n')
    assert [(line.id, line.location) for line in lines] == [
        ("a.csv:1", "a.csv, row 1"),
        ("a.csv:2", "a.csv, row 2"),
    ]
    assert [line.location for line in read("a.txt", "a\n\nb\n")] == [
        "a.txt, line 1",
        "a.txt, line 3",
    ]


@pytest.mark.parametrize(
    ("name", "data", "rows", "reason"),
    [
        ("a.csv", "id,prompt\n1,a\n2\n3,c\n", 2, "a.csv, row 2: a row must have 2 fields"),
        ("a.csv", "id,prompt\n1,a\n2,b,c\n3,c\n", 2, "a.csv, row 2: a row must have 2 fields"),
        ("a.csv", 'id,prompt\n1,"a"b\n2,b\n', 1, "a.csv, row 1: wrong quoting in line 2"),
        (
            "a.csv",
            'id,prompt\n1,a\n2,"b\n3,c\n',
            1,
            "a.csv, from row 2 on: the file ends inside quotes; the row begins in line 3",
        ),
        ("a.csv", "id,prompt\n1,a\n2", 1, "a.csv, from row 2 on: the file ends in the middle"),
        ("a.csv", "id,id\n1,a\n", 0, "a.csv, from row 1 on: the header must name each column once"),
        ("a.csv", "id;prompt\n1;a\n", 0, "a.csv, from row 1 on: the header is one column"),
        ("a.csv", "", 0, "a.csv, from row 1 on: the file must have a header"),
        (
            "a.csv",
            b"id,prompt\n1,a\n2,caf\xe9\n",
            1,
            "a.csv, from row 2 on: the text must be UTF-8, got 0xe9 at byte 20; save the data",
        ),
        ("a.json", '[{"a":1},{"a":2}', 2, "a.json, from row 3 on: the file ends before the array"),
        ("a.json", '[{"a":1},{"a":', 1, "a.json, from row 2 on: the file ends in the middle"),
        ("a.json", '[{"a":1},{"a":tr', 1, "a.json, from row 2 on: the file ends in the middle"),
        (
            "a.json",
            '[{"a":1},\n{"a":x}]',
            1,
            "a.json, from row 2 on: not JSON (Expecting value: line 2 column 6)",
        ),
        ("a.json", '[{"a":1}] {}', 1, "a.json, from row 2 on: not JSON (expected nothing after"),
        ("a.json", '[{"a":1} {"a":2}]', 1, "a.json, from row 2 on: not JSON (expected a comma"),
        ("a.jsonl", '{"a":1}\n{"a":', 1, "a.jsonl, from line 2 on: the file ends in the middle"),
        ("a.txt", b"a\nb\xff\n", 1, "a.txt, from line 2 on: the text must be UTF-8, got 0xff"),
    ],
)
def test_a_reason_names_the_file_and_the_row(read, name, data, rows, reason):
    lines = read(name, data)
    assert len(good(lines)) == rows
    (found,) = reasons(lines)
    assert found.startswith(reason)


def test_values_of_json_are_found_wherever_a_block_ends(read, monkeypatch):
    rows = [{"id": n, "text": 'é\\"' * n, "in": [n, {"x": None}, 1.5e300]} for n in range(40)]
    for size in range(1, 90, 7):
        monkeypatch.setattr("pipelines.inputs.readers.texts._BUFFER", size)
        assert good(read("a.json", json.dumps(rows, indent=1))) == rows
        text = "\n".join(json.dumps(row, indent=1, ensure_ascii=False) for row in rows)
        assert good(read("a.json", text)) == rows
        (reason,) = reasons(read("a.json", json.dumps(rows, indent=1)[:-200]))
        assert "from row 40 on: the file ends in the middle of the row" in reason


def test_numbers_of_json_stay_as_they_are(read):
    (line,) = read("a.json", '[{"a":340282366920938463463374607431768211455,"b":1.10}]')
    assert line.text == '{"a":340282366920938463463374607431768211455,"b":1.10}'


_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_ODD = st.sampled_from(['"', ",", "\n", "\r\n", '""', '",', " ", "\r", '";"', "'"])
_WRITTEN = st.text(_CHARACTERS, min_size=1, max_size=8) | _ODD
_FIELD = st.none() | st.just("") | _WRITTEN


@given(st.lists(st.tuples(_FIELD, _FIELD, _FIELD), max_size=6), st.sampled_from(",;\t|"))
def test_csv_that_a_program_wrote_comes_back_field_by_field(tmp_path_factory, rows, delimiter):
    """Nulls are written as nothing, and all texts in quotes, as polars and Arrow do."""
    quoted = [["" if f is None else '"' + f.replace('"', '""') + '"' for f in row] for row in rows]
    text = "\r\n".join(delimiter.join(fields) for fields in [["a", "b", "c"], *quoted])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.encode())
    lines = lines_of(DataFile(str(path), "a.csv", "a.csv"), InputOptions(csv_delimiter=delimiter))
    found = [tuple(json.loads(line.text).values()) for line in lines]
    assert found == rows


@given(st.lists(st.lists(_WRITTEN, min_size=2, max_size=2), max_size=6))
def test_csv_with_quotes_only_where_needed_comes_back(tmp_path_factory, rows):
    file = io.StringIO()
    csv.writer(file).writerows([["a", "b"], *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(file.getvalue().encode())
    lines = lines_of(DataFile(str(path), "a.csv", "a.csv"), InputOptions())
    assert [[*json.loads(line.text).values()] for line in lines] == rows


OFFICE = b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml"
COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


def decompressed(suffix, data):
    """Return what the members of `data` have, up to where it is cut off."""
    found = b""
    while data:
        member = {
            "gz": lambda: zlib.decompressobj(31),
            "bz2": bz2.BZ2Decompressor,
            "xz": lzma.LZMADecompressor,
            "zst": zstandard.ZstdDecompressor().decompressobj,
        }[suffix]()
        found += member.decompress(data)
        data = member.unused_data
    return found


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_a_compressed_file_cut_anywhere_gives_its_first_rows_and_one_reason(read, name, suffix):
    rows = [{"id": f"{n}", "prompt": f"{n * 7919 % 10007:x}" * 9} for n in range(300)]
    text = {
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "a.csv": "id,prompt\n" + "".join(f"{r['id']},{r['prompt']}\n" for r in rows),
        "a.json": json.dumps(rows, indent=1),
    }[name].encode()
    compress = COMPRESSIONS[suffix]
    halves = compress(text[:9_000]) + compress(text[9_000:])  # two members
    assert good(read(f"{name}.{suffix}", halves)) == rows
    for cut in range(0, len(halves), 64):
        if cut == len(compress(text[:9_000])):
            continue  # a whole file of its own: only its text ends too early
        lines = read(f"{name}.{suffix}", halves[:cut])
        found = good(lines)
        assert found == rows[: len(found)]
        assert len(lines) == len(found) + 1
        if name == "a.jsonl":
            assert len(found) == decompressed(suffix, halves[:cut]).count(b"\n")
        (reason,) = reasons(lines)
        assert (
            f"from {'line' if found and name == 'a.jsonl' else 'row'} {len(found) + 1} on" in reason
        )


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_damaged_second_member_is_not_ignored(read, suffix):
    first, second = (COMPRESSIONS[suffix](b'{"id":"%d"}\n' % n * 50) for n in (1, 2))
    for wrong in (b"x" * len(second), second[:-1], second[:3], second + b"garbage"):
        lines = read(f"a.jsonl.{suffix}", first + wrong)
        assert len(good(lines)) >= 50
        assert len(reasons(lines)) == 1


def test_a_wrong_checksum_is_an_error(read):
    data = bytearray(gzip.compress(b'{"id":"1"}\n' * 50))
    data[-6] ^= 1
    assert "is damaged" in reasons(read("a.jsonl.gz", bytes(data)))[0]


def test_zero_bytes_after_a_member_are_padding(read):
    data = gzip.compress(b'{"id":"1"}\n') + b"\0" * 512 + gzip.compress(b'{"id":"2"}\n') + b"\0"
    assert len(good(read("a.jsonl.gz", data))) == 2


def test_a_request_of_a_batch_must_be_complete(read):
    row = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": []},
    }
    wrong = [{**row, "custom_id": ""}, {**row, "url": "/v1/embeddings"}, {"custom_id": "a"}]
    lines = read("a.jsonl", b"\n".join(map(orjson.dumps, [row, *wrong])), format="batch")
    assert good(lines) == [row]
    assert [line.fault[:40] for line in lines[1:]] == [
        "'custom_id' of a batch request must be a",
        "'url' of a batch request must be /v1/cha",
        "'body' of a batch request must be an obj",
    ]


def test_a_job_reads_files_of_several_formats(job, caplog):
    (job.folder / "a.csv").write_text("id,prompt\na,one\n")
    (job.folder / "b.json").write_text('[\n{"id": "b", "prompt": "two"}\n]')
    job.write({"id": "c", "prompt": "three"}, name="c.jsonl")
    (job.folder / "d.csv").write_bytes(b"id,prompt\nd,four\ne,caf\xe9\n")
    argv = job.argv("a.csv")
    argv[1:2] = [str(job.folder / name) for name in ("a.csv", "b.json", "c.jsonl", "d.csv")]
    assert job.call(argv) == 1
    assert job.rows("completions").keys() == {"a", "b", "c", "d"}
    assert job.rows("completions")["a"]["input"] == {"id": "a", "prompt": "one"}
    assert job.rows("failed").keys() == {"d.csv:2"}
    assert "d.csv, from row 2 on: the text must be UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv_delimiter=ab"], "--csv_delimiter must be one character, got 'ab'"),
        (["--csv_header=a,,b"], "--csv_header must be names joined by commas"),
        (["--csv_header=a,a"], "--csv_header must name each column once"),
        (["--encoding=klingon"], "--encoding must be one of Python's"),
        (["--encoding=base64"], "--encoding must be one of texts"),
        (["--input_format=xml"], "invalid choice: 'xml'"),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_is_sent(job, flags, message):
    job.write({"prompt": "x"})
    assert job.run(*flags) == 2
    assert message in job.printed.err
    assert not job.server.requests


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"PAR1\x15\x04", "the file is a Parquet file; add --input_format parquet"),
        ("a.csv", "id,prompt\n1,a\n".encode("utf-16"), "add --encoding utf-16"),
        ("a.csv", b"id;prompt\n1;a\n", "the header is one column, 'id;prompt'; name the character"),
        ("a.json", b"id,prompt\n1,a\n", "the file must be a JSON array of objects"),
        ("a.csv", "\ufeffid;prompt\n1;a\n".encode(), "the header is one column, 'id;prompt'; "),
        ("a.txt", b"%PDF-1.4", "the file is a PDF file"),
        ("a.xlsx", OFFICE, "the file is a workbook or a document of Office; save its table as CSV"),
        ("a.zip", b"PK\x03\x04" + b"\0" * 26 + b"a.csv", "the file is a .zip archive; unpack it"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS and"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS and"),
        ("a.csv", b"<!DOCTYPE html>\n<p>404</p>\n", "a web page, maybe of an error or a login"),
        ("a.arrow", b"\n<html>\n", "a web page, maybe of an error or a login"),
        (
            "a.json",
            b'{"id":{"0":1,"1":2},"prompt":{}}',
            "the file is a table by columns, as pandas",
        ),
        ("a.json", b'{"columns":["prompt"],"index":[0],"data":[["x"]]}', "a table by columns"),
        ("a.pkl", b"\x80\x05\x95\x00", "the file is a pickle of Python; convert it to Parquet"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused_once(job, name, data, reason):
    (job.folder / name).write_bytes(data)
    assert job.run(input=name) == 2
    (line,) = job.printed.err.strip().splitlines()
    assert line.startswith(f"batch_complete: --input {job.folder / name}: ")
    assert reason in line


@pytest.mark.parametrize("format", ["text", "document"])
def test_a_web_page_is_a_text(read, format):
    (line,) = read("a.html", "<!DOCTYPE html><p>Hi</p>", format=format)
    assert json.loads(line.text)["text"] == "<!DOCTYPE html><p>Hi</p>"


def test_a_header_that_ends_behind_the_first_bytes_is_not_judged(tmp_path):
    names = ",".join(f"column{n}" for n in range(4000))
    assert Delimited(",").fault(names[: 1 << 14].encode(), InputOptions()) is None
