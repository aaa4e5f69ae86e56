"""The program: its command line, its log, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from door import answer
from redis_server import running

from pipelines.errors import UsageError
from pipelines.serve_deltas import tokens
from pipelines.serve_deltas.__main__ import Program
from transforms.sinks.redis import RedisStreams

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of enough bytes"


def test_it_serves_until_ctrl_c_and_logs_no_id_no_token_and_no_text():
    command = [sys.executable, "-m", "pipelines.serve_deltas", "--listen", "127.0.0.1:0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DOOR_SECRET": SECRET}
    with running() as redis:
        RedisStreams(f"{redis.url}?per_id=true")().publish(answer("the id", "the text"))
        token = tokens.sign(SECRET.encode(), "the id", 1 << 40)
        process = subprocess.Popen(
            [*command, "--from", redis.url, "--secret_env", "DOOR_SECRET"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        page = process.stdout.readline().split()[-1]
        assert b"<title>Answers</title>" in urllib.request.urlopen(page).read()
        url = process.stdout.readline().split()[-1].removesuffix("ID")
        with urllib.request.urlopen(f"{url}the%20id?as=text&token={token}") as response:
            assert response.read() == b"the text"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}the%20id?as=text&token=wrong")
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not any(word in said + complained for word in ("the", "token", "Traceback"))


def test_a_shell_that_allows_few_files_does_not_bound_the_readers():
    program = (
        "import resource\n"
        "from pipelines.serve_deltas.server import allow_readers\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "allow_readers(150)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    command = [sys.executable, "-c", program]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output(command, env=environ, text=True) == "250\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "0.0.0.0:8080"], "it needs --secret_env"),
        (["--listen", "8080"], "--listen must be HOST:PORT, got '8080'"),
        (["--from", "kafka:x/y"], "--from must be redis://HOST/DB"),
        (["--from", "unix:///nowhere/redis.sock"], "cannot be used"),
        (["--secret_env", "DOOR_SECRET"], "must hold at least 16 bytes"),
        (["--sign", "q"], "--sign needs --secret_env"),
        (["--prompts_to", "dir:in"], "--prompts_to must be one of redis://HOST/DB, kafka:"),
        (["--prompts_to", "kafka:no-topic"], "--prompts_to must be one of"),
        (["--prompts_to", "pubsub:projects/p/subscriptions/s"], "--prompts_to must be one of"),
        (["--prompts_to", "unix:///nowhere/redis.sock"], "--prompts_to: .* cannot be used"),
        (["--prompts_to", "redis://h/0?lease=no"], "--prompts_to lease must be seconds"),
    ],
)
def test_a_command_line_that_cannot_work_is_one_line(flags, message, monkeypatch):
    monkeypatch.setenv("DOOR_SECRET", "short")
    with pytest.raises(UsageError, match=message):
        Program(["--listen", "127.0.0.1:0", *flags]).run()


def test_it_signs_tokens(monkeypatch, capsys):
    monkeypatch.setenv("DOOR_SECRET", SECRET)
    assert Program(["--sign", "q", "--may_stop", "--secret_env", "DOOR_SECRET"]).run() == 0
    token = capsys.readouterr().out.strip()
    tokens.check(SECRET.encode(), token, "q", 0, to_stop=True)


def test_it_signs_tokens_to_send_prompts(monkeypatch, capsys):
    monkeypatch.setenv("DOOR_SECRET", SECRET)
    key = ["--secret_env", "DOOR_SECRET"]
    assert Program(["--sign_prompts", "--may_stop", *key]).run() == 0
    assert Program(["--sign_all", "--may_ask", *key]).run() == 0
    sends, everything = capsys.readouterr().out.split()
    assert tokens.check_asker(SECRET.encode(), sends, 0) == "sw"
    assert tokens.check_asker(SECRET.encode(), everything, 0) == "aw"
    tokens.check(SECRET.encode(), everything, "any id", 0)
    with pytest.raises(tokens.TokenError, match="send prompts, not read"):
        tokens.check(SECRET.encode(), sends, "q", 0)
    with pytest.raises(UsageError, match="--may_ask needs --sign_all"):
        Program(["--sign", "q", "--may_ask", *key]).run()
    with pytest.raises(UsageError, match="print one token"):
        Program(["--sign", "q", "--sign_prompts", *key]).run()
