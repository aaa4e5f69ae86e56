"""Jobs that write the parts of JSON answers as rows of their own: `--records`."""

import csv

import orjson
import pyarrow.parquet as pq
import pytest
from batch_job import Job
from fake_server import Stall, chat_events, chat_stream, stream

LIST = '{"items": [{"n": 1}, {"n": 12345678901234567890123}, "=1+1"]}'


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on lines of input; returns its outcome."""
    made = Job(fake_server, tmp_path, capsys)
    made.write({"id": "a", "prompt": "good", "topic": "t"}, {"id": "b", "prompt": "cut off"})
    replies = {
        b"good": chat_stream(f"Here: {LIST}"),
        b"cut off": chat_stream('{"items": [1, 2', finish_reason="length"),
        b"prose": chat_stream("I cannot do that."),
    }
    fake_server.script = lambda request: next(
        r for text, r in replies.items() if text in request.body
    )
    return made


def lines(job):
    files = sorted(job.out.glob("records-*.jsonl"))
    return [line for file in files for line in file.read_bytes().splitlines()]


def test_each_record_is_a_row_with_the_id_of_its_prompt(job):
    assert job.run("--records", "$.items[*]") == 0
    rows = sorted(map(orjson.loads, lines(job)), key=lambda row: (row["id"], row["index"]))
    assert [(r["id"], r["index"], r["path"], r["valid"], r["message"]) for r in rows] == [
        ("a", 0, "$.items[0]", True, None),
        ("a", 1, "$.items[1]", True, None),
        ("a", 2, "$.items[2]", True, None),
        ("b", 0, "$.items[0]", True, None),
        ("b", 1, "$", False, "RecordsTruncated: the JSON has not ended (length)"),
    ]
    assert [row["value"] for row in rows[::2]] == [{"n": 1}, "=1+1", None]
    assert b'"value":{"n": 12345678901234567890123}' in b"".join(lines(job))
    assert rows[0]["input"] == {"id": "a", "prompt": "good", "topic": "t"}
    assert job.rows("completions").keys() == {"a", "b"}
    assert any(name.startswith("records-") for name in job.report["files"])
    assert "records:" in job.printed.out


def test_an_answer_without_json_has_one_row_that_says_so(job):
    job.write({"id": "c", "prompt": "prose"}).run("--records", "$.items[*]")
    (row,) = map(orjson.loads, lines(job))
    assert (row["id"], row["index"], row["value"], row["valid"]) == ("c", 0, None, False)
    assert row["message"].startswith("RecordsInvalid: the text has no JSON with $.items[*]")


def test_records_are_columns_of_parquet(job):
    job.run("--records", "$.items[*]", "--output_format", "parquet")
    (file,) = job.out.glob("records-*.parquet")
    rows = sorted(
        pq.read_table(file).to_pylist(), key=lambda row: (row["ritellm_id"], row["index"])
    )
    assert [(r["ritellm_id"], r["topic"], r["index"], r["value"], r["valid"]) for r in rows] == [
        ("a", "t", 0, '{"n": 1}', True),
        ("a", "t", 1, '{"n": 12345678901234567890123}', True),
        ("a", "t", 2, '"=1+1"', True),
        ("b", None, 0, "1", True),
        ("b", None, 1, None, False),
    ]


def test_records_are_columns_of_csv(job):
    job.run("--records", "$.items[*]", "--output_format", "csv")
    (file,) = job.out.glob("records-*.csv")
    rows = csv.DictReader(file.read_text().splitlines())
    found = {(row["ritellm_id"], row["index"]): row["value"] for row in rows}
    assert found[("a", "1")] == '{"n": 12345678901234567890123}'
    assert found[("b", "1")] == ""


def test_a_record_that_does_not_fit_its_schema_is_marked_with_the_reason(job):
    pytest.importorskip("jsonschema_rs")
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"maximum": 9}}}
    (job.folder / "record.json").write_bytes(orjson.dumps(schema))
    flags = ["--records", "$.items[*]", "--record_schema", str(job.folder / "record.json")]
    assert job.run(*flags) == 0
    rows = [row for row in map(orjson.loads, lines(job)) if row["id"] == "a"]
    assert [(row["index"], row["valid"], row["message"]) for row in rows] == [
        (0, True, None),
        (1, False, "$.n (maximum): 12345678901234567890123 is greater than the maximum of 9"),
        (2, False, '$ (type): "=1+1" is not of type "object"'),
    ]
    assert len(job.server.requests) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--record_schema", "x.json"], "--record_schema checks records; name them with"),
        (["--records", "$[*]", "--record_schema", "x.json"], "x.json"),
        (["--records", "$[*]", "--record_schema", "os:nowhere"], "--record_schema: the module or"),
        (["--records", "items[*]"], 'a path must start with "$"'),
        (["--records", "$..x"], "a path must be made of"),
        (["--records", "$[*]", "--output_format", "batch"], "--output_format batch has no records"),
        (["--stop_when", "3"], "--stop_when counts records; name them with --records PATH"),
        (["--records", "$[*]", "--stop_when", "0"], "--stop_when"),
        (
            ["--records", "$[*]", "--stop_when", "1", "--answer_columns", "a:str"],
            "--stop_when leaves an answer before its end",
        ),
    ],
)
def test_flags_that_cannot_work_are_refused(job, flags, said):
    assert job.run(*flags) == 2
    assert said in job.printed.err


ENDLESS = ['{"items": [', *(f'{{"n": {n}}}, ' for n in range(50))]


@pytest.mark.parametrize("flags", [[], ["--emit_deltas"]])
def test_a_stream_with_enough_records_is_left_at_the_provider(job, flags):
    # The server would go on for ever.
    job.server.script = lambda request: stream(*chat_events(ENDLESS)[:-3], Stall())
    job.write({"id": "a", "prompt": "go on"})
    assert job.run("--records", "$.items[*]", "--stop_when", "3", *flags) == 0
    rows = list(map(orjson.loads, lines(job)))
    assert [row["value"]["n"] for row in rows[:3]] == [0, 1, 2]
    assert all(row["valid"] for row in rows)
    row = job.rows("completions")["a"]
    assert (row["finish_reason"], row["attempts"]) == ("stopped", 1)
    assert row["completion"]["usage_source"] == "estimated"
    assert row["usage"]["completion_tokens"] > 0
    assert row["timing"]["seconds"] > 0
    job.server.wait_until(lambda: job.server.cancelled == 1)
    # The journal has it: another run sends nothing.
    assert job.run("--records", "$.items[*]", "--stop_when", "3", *flags) == 0
    assert len(job.server.requests) == 1
    # Without the flag the whole answer is another completion.
    job.server.script = lambda request: chat_stream(LIST)
    assert job.run("--records", "$.items[*]") == 0
    assert job.rows("completions")["a"]["finish_reason"] == "stop"


def test_an_answer_with_fewer_records_is_not_left(job):
    assert job.run("--records", "$.items[*]", "--stop_when", "3") == 0
    assert job.rows("completions")["a"]["finish_reason"] == "stop"
    assert job.rows("completions")["a"]["completion"]["usage_source"] == "provider"
