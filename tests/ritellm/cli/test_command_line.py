"""`python -m ritellm`: the answer on stdout, the rest on stderr, and a status that says why."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_server import Stall, Wait, api_error, chat_events, html_page, stream

import ritellm
from ritellm import errors
from ritellm.__main__ import main
from ritellm.cli.complete import exit_status

ROOT = Path(__file__).parents[3]
KEY = "sk-planted-0123456789abcdef"
MODEL = ["--model", "openai/m"]


@pytest.fixture
def run(fake_server, monkeypatch, capsys):
    """Run the command line against the fake server; returns status, stdout and stderr."""
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def running(*argv, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            status = main(argv)
        except SystemExit as leaving:
            status = leaving.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return running


def test_the_answer_goes_to_stdout(run, fake_server):
    assert run("Hello there", *MODEL) == (0, "Hello there\n", "")
    assert fake_server.requests[0].json["stream"] is True


HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2Jx"


def test_an_answer_goes_raw_into_a_pipe_and_cannot_control_a_terminal(
    fake_server, monkeypatch, run
):
    fake_server.script = lambda request: stream(*chat_events(HOSTILE))
    assert run("Hello", *MODEL)[1] == f"{HOSTILE}\n"
    terminal = Keyboard()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["Hello", *MODEL]) == 0
    assert terminal.getvalue() == "␛]52;c;aGk=␇␛[2Jx\n"


def test_the_text_of_an_error_cannot_control_a_terminal(fake_server, run):
    fake_server.enqueue(api_error(400, message=HOSTILE))
    assert "\x1b" not in run("Hello", *MODEL)[2]


@pytest.mark.parametrize("prompt", [[], ["-"]])
def test_the_prompt_may_come_from_stdin(run, prompt):
    assert run(*prompt, *MODEL, stdin="Hello")[:2] == (0, "Hello\n")


def test_the_system_prompt_comes_first(run, fake_server):
    run("Hello", *MODEL, "--system", "Be brief")
    roles = [(each["role"], each["content"]) for each in fake_server.requests[0].json["messages"]]
    assert roles == [("system", "Be brief"), ("user", "Hello")]


def test_text_on_stdin_comes_before_the_prompt(run, fake_server):
    run("Summarize this.", *MODEL, stdin="a b\nc\n")
    [message] = fake_server.requests[0].json["messages"]
    assert message["content"] == "a b\nc\n\nSummarize this."


def test_parameters_of_the_request_are_options(run, fake_server, tmp_path):
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    for schema in ('{"type": "object"}', str(tmp_path / "schema.json")):
        run("Hello", *MODEL, "--temperature", "0.5", "--max-tokens", "7", "--schema", schema)
        sent = fake_server.requests[-1].json
        assert (sent["temperature"], sent["max_tokens"]) == (0.5, 7)
        assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_without_options_the_provider_decides(run, fake_server):
    run("Hello", *MODEL)
    assert (
        not {"temperature", "max_tokens", "response_format"} & fake_server.requests[0].json.keys()
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("/nowhere.json", "cannot read --schema /nowhere.json: No such file or directory"),
        ("{", "--schema must be JSON: "),
        ("list.json", "--schema must be a JSON object, got list"),
    ],
)
def test_a_schema_that_is_none_is_an_error(run, fake_server, tmp_path, monkeypatch, schema, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    status, _, error = run("Hello", *MODEL, "--schema", schema)
    assert (status, len(error.splitlines())) == (2, 1)
    assert said in error
    assert not fake_server.requests


def test_models_are_listed_with_their_prices(run):
    status, out, _ = run("models", "GPT-4o-mini")
    head, line, note = out.splitlines()
    assert (status, head.split()) == (0, ["MODEL", "INPUT", "OUTPUT"])
    assert line.split() == ["openai/gpt-4o-mini", "0.15", "0.6"]
    assert note.startswith("USD per million tokens, list prices of 20")


def test_a_text_that_no_model_has_is_said(run):
    said = (1, "", "ritellm: no known model has 'zzz' in its name\n")
    assert run("models", "zzz") == said


@pytest.mark.parametrize(
    ("words", "usage"),
    [(["help"], "usage: python -m ritellm [-h]"), (["help", "models"], "ritellm models [-h]")],
)
def test_help_is_a_command(run, words, usage):
    status, out, _ = run(*words)
    assert status == 0
    assert usage in out


def test_more_words_after_help_are_a_prompt(run, fake_server):
    assert run("help me", *MODEL)[1] == "help me\n"


def test_the_version_is_printed(run):
    assert run("--version")[:2] == (0, f"ritellm {ritellm.__version__}\n")


@pytest.mark.parametrize("name", ["/usr/bin/ritellm", "ritellm.exe"])
def test_an_installed_script_shows_its_own_name(run, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", [name])
    assert run("help")[1].startswith("usage: ritellm [-h]")


def test_the_model_may_come_from_the_environment(run, fake_server, monkeypatch):
    monkeypatch.setenv("RITELLM_MODEL", "openai/mine")
    assert run("Hello")[0] == 0
    assert fake_server.requests[0].json["model"] == "mine"


def test_an_answer_need_not_be_streamed(run, fake_server):
    assert run("Hello", *MODEL, "--no-stream") == (0, "Hello\n", "")
    assert "stream" not in fake_server.requests[0].json


def test_json_is_a_chunk_per_line_or_the_whole_completion(run):
    chunks = [json.loads(line) for line in run("Hello", *MODEL, "--json")[1].splitlines()]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    whole = json.loads(run("Hello", *MODEL, "--json", "--no-stream")[1])
    assert whole["object"] == "chat.completion"


def test_a_recording_can_be_replayed(run, fake_server, tmp_path):
    path = str(tmp_path / "wire.jsonl")
    first = run("Hello there", *MODEL, "--record", path)
    assert run("replay", path) == first
    assert json.loads(run("replay", path, "--json", "--timing")[1].splitlines()[0])["choices"]
    assert len(fake_server.requests) == 1
    assert KEY not in Path(path).read_text()


REFUSALS = {
    "a wrong key": ([api_error(401)], 3),
    "no permission": ([api_error(403)], 3),
    "no such model": ([api_error(404)], 4),
    "a bad request": ([api_error(400)], 4),
    "an empty account": ([api_error(429, code="insufficient_quota")], 5),
    "a web page": ([html_page()], 1),
    "a cut": ([stream(*chat_events("Hi", done=False, finish_reason=None))], 7),
}


@pytest.mark.parametrize(("replies", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_the_exit_status_follows_the_error(run, fake_server, replies, expected):
    fake_server.enqueue(*replies)
    status, _, said = run("Hello", *MODEL)
    assert status == expected
    assert said.startswith("ritellm: openai/m: ")
    assert KEY not in said


WRONG = {
    "an unknown provider": (["Hello", "--model", "acme/m"], "unknown provider"),
    "no such recording": (["replay", "/nowhere"], "cannot replay"),
    "an unknown option": (["Hello", "--loud"], "unknown option --loud, see --help"),
    "a misspelt option": (["Hello", "--jsn=1"], "unknown option --jsn=1; did you mean --json?"),
    "two prompts": (
        ["Hello", "there", *MODEL],
        "unexpected argument 'there': put the prompt in quotes",
    ),
    "two recordings": (["replay", "a", "b"], "unexpected argument 'b'\n"),
    "an empty prompt": (
        [" ", *MODEL],
        "ritellm: the prompt must not be empty: pass it as an",
    ),
    "an empty stdin": (MODEL, "the prompt must not be empty"),
    "nothing at all": ([], "the prompt must not be empty"),
    "bytes": (["\udcff", *MODEL], "ritellm: the prompt must be text in UTF-8"),
}


@pytest.mark.parametrize(("argv", "says"), WRONG.values(), ids=WRONG)
def test_an_invalid_call_is_status_2(run, fake_server, argv, says):
    status, out, said = run(*argv)
    assert (status, out) == (2, "")
    assert says in said
    assert not fake_server.requests


def test_text_before_an_error_is_printed_and_counted(run, fake_server):
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    events = chat_events("Hi there", done=False, finish_reason=None, usage=usage)
    fake_server.enqueue(stream(*events))
    status, out, said = run("Hello", *MODEL)
    assert (status, out) == (7, "Hi there\n")
    assert "paid so far: prompt_tokens 3, completion_tokens 1, total_tokens 4" in said


def test_the_documented_exit_statuses_are_those_of_the_code():
    page = (ROOT / "docs" / "command-line.md").read_text()
    for status, names in re.findall(r"^\| (\d) \| (.+) \|$", page, re.MULTILINE):
        for name in re.findall(r"`(\w+Error|Timeout)`", names):
            assert exit_status(getattr(errors, name)("x")) == int(status)
    assert exit_status(errors.APIError("x")) == 1


class Keyboard(io.StringIO):
    """A stdin that somebody types into."""

    def isatty(self):
        return True


def test_without_arguments_the_help_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Keyboard())
    assert main([]) == 0
    assert "replay" in capsys.readouterr().out


def test_an_empty_terminal_explains_how_to_type_the_prompt(run, monkeypatch, capsys):
    run("Hello", *MODEL)
    monkeypatch.setattr(sys, "stdin", Keyboard("Hello"))
    assert main(MODEL) == 0
    assert capsys.readouterr() == ("Hello\n", "ritellm: type the prompt, then press Ctrl-D\n")


def test_a_prompt_may_be_piped_into_nothing_but_the_command(run, fake_server, monkeypatch):
    monkeypatch.setenv("RITELLM_MODEL", "openai/m")
    assert run(stdin="Hello") == (0, "Hello\n", "")


class Interrupted(io.StringIO):
    """A stdin at which somebody presses Ctrl-C."""

    def read(self, size=-1):
        raise KeyboardInterrupt


def test_ctrl_c_before_the_request_prints_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert main(MODEL) == 130
    assert capsys.readouterr() == ("", "ritellm: interrupted\n")


def asking(server):
    """Return a process of its own that asks "Hello"."""
    environ = {
        **os.environ,
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": KEY,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    command = [sys.executable, "-m", "ritellm", "Hello", *MODEL]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_closed_pipe_prints_no_traceback(fake_server):
    gone = threading.Event()
    events = chat_events(["word\n", "word\n"])
    fake_server.enqueue(stream(*events[:2], Wait(gone), *events[2:]))
    with asking(fake_server) as process:
        assert process.stdout.readline() == "word\n"
        process.stdout.close()
        gone.set()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, "")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_the_provider_and_prints_the_paid_tokens(fake_server):
    fake_server.enqueue(stream(*chat_events("Hello there")[:3], Stall()))
    with asking(fake_server) as process:
        assert process.stdout.read(5) == "Hello"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in said
    assert re.search(r"paid so far: the provider has not reported usage yet \(\d chunks", said)
    assert "Traceback" not in said
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_help_about_no_command_names_the_commands(run):
    status, out, err = run("help", "nonsense")
    assert (status, out) == (2, "")
    assert err.endswith("no command 'nonsense': the commands are models, providers, replay\n")


def test_a_schema_that_cannot_be_read_is_one_sentence(run, tmp_path):
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"title": "\xe9"}')
    said = "ritellm: cannot read --schema nofile.json: No such file or directory\n"
    assert run("Hello", "--schema", "nofile.json", *MODEL) == (2, "", said)
    said = f"ritellm: --schema {latin} must be text in UTF-8\n"
    assert run("Hello", "--schema", str(latin), *MODEL) == (2, "", said)


def test_a_missing_key_is_asked_for_in_the_environment_alone(run, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    said = "ritellm: openai: no key: set the environment variable OPENAI_API_KEY\n"
    assert run("Hello", *MODEL) == (3, "", said)


def test_the_help_fits_into_80_columns(run):
    assert max(map(len, run("help")[1].splitlines())) <= 80
