"""The batch program writes the page of its job beside the report."""

from __future__ import annotations

import re

import orjson
import pytest
from batch_job import Job


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    made = Job(fake_server, tmp_path, capsys)
    return made.write({"id": "a", "prompt": "a question"}, "nonsense")


def data_of(job):
    text = (job.out / "report.html").read_bytes()
    return orjson.loads(re.search(rb'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_has_the_numbers_of_the_report_and_the_rows(job):
    assert job.run() == 0
    data, report = data_of(job), job.report
    assert data["report"] == {name: report[name] for name in data["report"]}
    assert report.keys() - data["report"].keys() == {"files"}
    row, lost = sorted(data["rows"], key=lambda row: row["state"])
    assert (row["id"], row["prompt"], row["state"]) == ("a", "a question", "completed")
    assert row["answer"] == job.rows("completions")["a"]["text"]
    assert (lost["state"], lost["reason"]) == ("failed", "RowError")
    assert [bucket["completed"] for bucket in data["timeline"]["points"]] == [1]
    assert f"page:        {job.out / 'report.html'}" in job.printed.out


def test_a_page_without_texts_has_no_prompt_no_answer_and_no_id(job):
    job.write({"id": "my-secret-id", "prompt": "my-secret-question"}, '{"prompt": my-secret-row}')
    assert job.run("--report_text", "none") == 0
    assert b"my-secret" not in (job.out / "report.html").read_bytes()
    assert len(data_of(job)["rows"]) == 2


def test_a_page_of_the_user_is_not_replaced(job):
    job.out.mkdir()
    (job.out / "report.html").write_text("<p>mine")
    assert job.run() == 2
    assert "report.html is not the page of a job" in job.printed.err
    assert (job.out / "report.html").read_text() == "<p>mine"
    assert not job.server.requests


def test_the_page_of_an_earlier_job_is_replaced(job):
    assert job.run("--report_rows", "0") == 0
    assert data_of(job)["rows"] == []
    assert job.run() == 0
    assert len(data_of(job)["rows"]) == 2
