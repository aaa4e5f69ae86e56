"""A job whose journal is deleted or cut off in the middle: each row is paid for once."""

from __future__ import annotations

import os

import pytest
from batch_job import Job
from fake_server import Call, chat_stream


@pytest.fixture
def job(fake_server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    return Job(fake_server, tmp_path, capsys).write(
        *({"id": f"{n}", "prompt": "hi"} for n in range(24))
    )


def delete(path):
    path.unlink()


def cut_off(path):
    for file in path.parent.glob("journal.sqlite*"):
        if file.suffix != ".lock":
            os.truncate(file, 0)


@pytest.mark.parametrize("happen", [delete, cut_off])
def test_a_job_survives_the_loss_of_its_journal(job, fake_server, caplog, happen):
    reply = chat_stream("hello")
    lost = [False]

    def script(request):
        path = job.out / "journal.sqlite"
        if len(fake_server.requests) < 12 or lost[0]:
            return reply
        lost[0] = True
        return reply.but(steps=[Call(lambda: happen(path)), *reply.steps])

    fake_server.script = script
    assert job.run("--max_in_flight", "4") == 0
    assert len(job.rows("completions")) == 24
    assert "while this job used it" in caplog.text
    assert job.run() == 0
    assert len(job.rows("completions")) == 24
    assert job.report["replayed"] == 24
    assert len(fake_server.requests) == 24
