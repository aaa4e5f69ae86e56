"""What a program says about its flags, before it imports Beam."""

from __future__ import annotations

import sys

import pytest

from pipelines import batch_complete, filesystem
from pipelines.cli.model_checks import start_model
from pipelines.errors import UsageError
from pipelines.results.__main__ import run as results

JOB = ["--input", "in.jsonl", "--output", "o"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n')


@pytest.mark.parametrize(
    ("argv", "flag", "meant"),
    [
        (["--inptu", "in.jsonl", "--output", "o"], "--inptu", "--input"),
        (["--input", "in.jsonl", "--ouput", "o"], "--ouput", "--output"),
        ([*JOB, "--modle", "m"], "--modle", "--model"),
        ([*JOB, "--max-tokens", "3"], "--max-tokens", "--max_tokens"),
        ([*JOB, "--max_token=3"], "--max_token", "--max_tokens"),
        ([*JOB, "--temprature", "3"], "--temprature", "--temperature"),
        ([*JOB, "--fail", "0.2"], "--fail", "--fail_above"),
        ([*JOB, "--api_key", "x"], "--api_key", "--api_key_env"),
        ([*JOB, "--projct", "x"], "--projct", "--project"),
    ],
)
def test_a_misspelt_flag_is_named_with_the_one_that_was_meant(argv, flag, meant):
    with pytest.raises(UsageError) as caught:
        batch_complete.run(argv)
    assert str(caught.value) == f"unknown flag {flag}; did you mean {meant}? (see --help)"


@pytest.mark.parametrize("flag", ["--retries", "--verbose", "--jobs", "--concurrency", "-m"])
def test_a_flag_that_is_like_none_gets_no_suggestion(flag):
    with pytest.raises(UsageError) as caught:
        batch_complete.run([*JOB, flag, "3"])
    assert str(caught.value) == f"unknown flag {flag} (see --help)"


def test_a_missing_key_names_the_variable_and_the_flag(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "p"}\n')
    with pytest.raises(UsageError) as caught:
        batch_complete.run(
            ["--input", str(rows), "--output", str(tmp_path / "o"), "--model", "openai/m"]
        )
    assert "OPENAI_API_KEY, or name another one with --api_key_env" in str(caught.value)


def test_a_missing_flag_is_named_if_none_is_misspelt():
    with pytest.raises(UsageError, match="the following arguments are required: --output"):
        batch_complete.run(["--input", "in.jsonl"])


def test_the_other_programs_suggest_flags_too():
    with pytest.raises(UsageError, match="unknown flag --folow; did you mean --follow"):
        results(["out", "--folow"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "gs://b/o", "--input", "in.jsonl"], "--output gs://b/o needs google.cloud"),
        (["--output", "o", "--input", "gs://b/x"], "--input gs://b/x needs google.cloud"),
        ([*JOB, "--journal", "gs://b/j"], "--journal gs://b/j needs google.cloud"),
        (["--output", "s3://b/o", "--input", "in.jsonl"], "--output s3://b/o needs boto3: pip"),
        (["--output", "ftp://b/o", "--input", "in.jsonl"], "--output must be a path on this"),
    ],
)
def test_a_bucket_without_its_extra_is_one_sentence(monkeypatch, argv, message):
    monkeypatch.setattr(filesystem, "_is_installed", lambda module: False)
    with pytest.raises(UsageError) as caught:
        batch_complete.run(argv)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_model_of_this_machine_without_its_extra_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # as if it were not installed
    with pytest.raises(UsageError) as caught:
        start_model("local/gemma-3-270m")
    assert str(caught.value) == (
        "the local model needs xllamacpp: pip install 'ritellm-beam[local]'"
    )
