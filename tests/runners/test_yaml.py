"""Beam YAML jobs of `python -m apache_beam.yaml.main`, as the documents show them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml as pyyaml
from fake_server import api_error, echo

from transforms import yaml

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("jsonschema", reason="Beam YAML is not installed")
pytest.importorskip("docstring_parser", reason="Beam YAML is not installed")


@pytest.fixture(params=["FnApiRunner", "Prism"])
def runner(request):
    """The flags of a runner."""
    if request.param == "Prism":
        return request.getfixturevalue("prism")
    return ["--runner=FnApiRunner"]


@pytest.fixture
def run(fake_server, tmp_path):
    """Return a function that runs a job in a folder of the test."""

    def run(job, *flags):
        (tmp_path / "job.yaml").write_text(job)
        (tmp_path / "templates").symlink_to(ROOT / "templates")
        command = [sys.executable, "-m", "apache_beam.yaml.main"]
        command += [f"--yaml_pipeline_file={tmp_path / 'job.yaml'}", *flags]
        environ = {
            **os.environ,
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": fake_server.base_url,
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=150
        )

    return run


def shown_in(page):
    """Return the first complete job of a page."""
    blocks = re.findall(r"^```yaml\n(pipeline:.*?)^```$", (ROOT / page).read_text(), re.S | re.M)
    return blocks[0]


def ask(folder, *rows):
    (folder / "questions.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))


def lines(folder, name):
    return [
        orjson.loads(line)
        for path in sorted(folder.glob(f"{name}*"))
        for line in path.read_text().splitlines()
    ]


def test_the_job_of_the_readme_runs(run, runner, tmp_path, fake_server):
    prompts = {"a": "one two", "b": "three", "7": "four"}
    ask(tmp_path, *({"id": id, "question": text} for id, text in prompts.items()))
    job = shown_in("README.md")
    assert len(job.splitlines()) == 12
    done = run(job, *runner)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = lines(tmp_path, "answers")
    assert {row["id"]: row["answer"] for row in rows} == prompts
    assert rows[0].keys() == {"id", "answer", "tokens", "cost"}
    assert {request.json["max_tokens"] for request in fake_server.requests} == {50}


def test_the_job_of_the_docs_puts_failed_rows_where_it_says(run, runner, tmp_path, fake_server):
    def script(request):
        refused = request.json["messages"][-1]["content"] == "refuse"
        return api_error(400, "invalid_request_error", "x", "No.") if refused else echo(request)

    fake_server.script = script
    ask(tmp_path, *({"question": text} for text in ("one two", "refuse", "")))
    done = run(shown_in("docs/yaml.md"), *runner)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [row["text"] for row in lines(tmp_path, "answers")] == ["one two"]
    [odd] = lines(tmp_path, "odd")
    assert odd["msg"] == "RowError: column 'question' must not be empty"
    assert orjson.loads(odd["input"]) == {"question": ""}
    [failed] = lines(tmp_path, "failed")
    assert (failed["error_type"], failed["status_code"]) == ("BadRequestError", 400)
    assert orjson.loads(failed["input"]) == {"question": "refuse"}
    assert failed["msg"] == "BadRequestError: openai/m: No." or "No." in failed["msg"]


STREAMED = """
pipeline:
  type: chain
  transforms:
    - {type: Create, config: {elements: [{text: one two}, {text: three}]}}
    - type: ToPrompts
      config: {template: "{% raw %}say {{ text }}{% endraw %}"}
    - {type: StreamCompletions, config: {model: openai/m, max_in_flight: 8}}
    - {type: AssembleCompletions}
    - {type: WriteToJson, config: {path: whole}}
providers:
  - {include: templates/yaml/ritellm.yaml}
"""


def test_deltas_add_up_to_completions(run, runner, tmp_path):
    done = run(STREAMED, *runner)
    assert done.returncode == 0, done.stderr[-3000:]
    texts = sorted(row["text"] for row in lines(tmp_path, "whole"))
    assert texts == ["say one two", "say three"]


def test_committed_streams_add_up_to_completions(run, prism, tmp_path):
    config = "{model: openai/m, max_in_flight: 8}"
    job = STREAMED.replace(config, "{model: openai/m, commit_every: 0.2, shards: 2}")
    assert job != STREAMED
    done = run(job, *prism, "--streaming")
    assert done.returncode == 0, done.stderr[-3000:]
    texts = sorted(row["text"] for row in lines(tmp_path, "whole"))
    assert texts == ["say one two", "say three"]


FAILING = """
pipeline:
  type: chain
  transforms:
    - {type: Create, config: {elements: [{prompt: ""}]}}
    - {type: ToPrompts}
    - {type: CompletePrompts, config: {model: openai/m}}
    - {type: LogForTesting}
providers:
  - {include: templates/yaml/ritellm.yaml}
"""


def test_without_error_handling_a_failed_row_fails_the_job(run):
    done = run(FAILING, "--runner=FnApiRunner")
    assert done.returncode != 0
    assert "column 'prompt' must not be empty; to go on without failed rows, add" in done.stderr


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            "{model: openai/m, max_tokns: 5}",
            "unknown parameter 'max_tokns'; did you mean max_tokens?",
        ),
        (
            "{model: openai/m, max_in_flight: many}",
            "max_in_flight must be a whole number, got 'many'",
        ),
        ("{}", "missing 1 required argument: 'model'"),
        ("{model: opnai/m}", "unknown provider 'opnai' in 'opnai/m'; did you mean openai/m"),
    ],
)
def test_a_typo_is_one_sentence_before_the_job_starts(run, config, said, fake_server):
    job = FAILING.replace("{model: openai/m}", config)
    done = run(job, "--runner=FnApiRunner")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        'ValueError: Invalid transform specification at "CompletePrompts" at line'
    )
    assert re.search(said, last)
    assert not fake_server.requests


def test_beam_can_describe_each_transform():
    from apache_beam.yaml.yaml_provider import InlineProvider

    listing = pyyaml.safe_load((ROOT / "templates/yaml/ritellm.yaml").read_text())
    kinds = {name: getattr(yaml, name) for name in listing[0]["transforms"]}
    provider = InlineProvider(kinds)
    for name in kinds:
        fields = {field.name: field.description for field in provider.config_schema(name).fields}
        assert fields["error_handling"].startswith("`output` names the output of ")
        assert provider.description(name)
    assert "model" in {field.name for field in provider.config_schema("CompletePrompts").fields}
