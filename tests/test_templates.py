"""The templates hold what the pipelines want, and nothing that should not be in an image."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import batch_complete, bigquery
from pipelines.limits import dollars, share
from pipelines.options import UsageError, positive

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "templates" / "batch_complete"
METADATA = json.loads((FOLDER / "metadata.json").read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
OPTIONS = {
    action.option_strings[0].removeprefix("--"): action
    for action in batch_complete.parser()._actions
    if action.dest not in {"help", "keep_order"}  # that one is refused on Dataflow
}
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
REQUIREMENTS = (FOLDER / "requirements.txt").read_text()
GCLOUD = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
IMAGE = "europe-west4-docker.pkg.dev/my-project/jobs/batch_complete:1"

# The embedded model is the program's default, and is not in the image.
REQUIRED_HERE_ONLY = {"model"}


def load(path):
    spec = importlib.util.spec_from_file_location(f"templates_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


container_spec = load(ROOT / "templates" / "container_spec.py")


# --- metadata.json and the command line ----------------------------------------------------------


def test_the_template_takes_what_the_program_takes():
    assert PARAMETERS.keys() == OPTIONS.keys()
    assert len(PARAMETERS) == len(METADATA["parameters"])


@pytest.mark.parametrize("name", OPTIONS)
def test_required_and_defaults_agree(name):
    option, parameter = OPTIONS[name], PARAMETERS.get(name, {})
    if name in REQUIRED_HERE_ONLY:
        assert not parameter.get("isOptional")
        assert "defaultValue" not in parameter
        return
    assert option.required is not parameter.get("isOptional", False)
    assert parameter.get("defaultValue") == as_text(option.default)


def as_text(default):
    """Return a default as metadata writes it."""
    if default is None:
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize("name", OPTIONS)
def test_types_agree(name):
    option, kind = OPTIONS[name], PARAMETERS.get(name, {}).get("paramType")
    if isinstance(option.default, bool):
        assert kind == "BOOLEAN"
    elif option.choices:
        assert kind == "ENUM"
        labels = [choice["value"] for choice in PARAMETERS[name]["enumOptions"]]
        assert labels == [str(choice) for choice in option.choices]
    elif option.type in (int, float, positive, dollars, share):
        assert kind == "NUMBER"
    else:
        assert kind == "TEXT" or kind.startswith("GCS_")


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_launcher_can_set_each_parameter_the_way_it_does(name):
    """It writes --name=value, switches too."""
    given = {"input": "gs://b/x.jsonl", "output": "gs://b/out/"}
    given[name] = GOOD.get(name) or PARAMETERS[name]["defaultValue"]
    ours = batch_complete.parser().parse_args([f"--{k}={v}" for k, v in given.items()])
    if PARAMETERS[name]["paramType"] == "BOOLEAN":
        assert getattr(ours, name) is (given[name] == "true")
    else:
        assert str(getattr(ours, name)) == given[name]


SECRET = "projects/my-project/secrets/openai/versions/3"
GOOD = {
    "input": "gs://bucket/prompts/*.jsonl.gz",
    "output": "gs://bucket/out/",
    "output_table": "my-project:evals.answers",
    "model": "openai/gpt-4o-mini",
    "base_url": "http://10.0.0.7:8000/v1",
    "api_key_env": "OPENAI_API_KEY",
    "api_key_secret": SECRET,
    "hedge_after": "p95",
    "max_in_flight": "128",
    "rpm": "500",
    "tpm": "200000",
    "max_tokens": "9",
    "temperature": "0.7",
    "emit_deltas": "true",
    "api_key_file": "/run/secrets/openai",
    "max_cost_usd": "2.5",
    "max_total_tokens": "1000000",
    "prices": "gs://bucket/prices.json",
    "fail_above": "0.2",
}
BAD = {
    "input": "prompts.jsonl",
    "output": "/tmp/out",
    "output_table": "answers",
    "model": "gpt-4o-mini",
    "base_url": "10.0.0.7:8000",
    "api_key_env": "sk-a key",
    "api_key_secret": "sk-planted",
    "hedge_after": "p100",
    "max_in_flight": "0",
    "temperature": "hot",
    "emit_deltas": "yes",
    "max_cost_usd": "0",
    "max_total_tokens": "1e6",
    "fail_above": "20",
}


@pytest.mark.parametrize("table", ["bigquery:p:d.t", "bigquery:p-1.d.t", "bigquery:d.org:p:d.t-1"])
def test_the_input_may_be_a_table(table):
    assert accepts(PARAMETERS["input"], table)
    assert bigquery.parse(table).dataset == "d"


def accepts(parameter, value):
    return all(re.search(regex, value) for regex in parameter.get("regexes", ()))


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_patterns_accept_what_is_right_and_refuse_what_is_not(name):
    parameter = PARAMETERS[name]
    for value in filter(None, (GOOD.get(name), parameter.get("defaultValue"))):
        assert accepts(parameter, value)
    if name in BAD:
        assert not accepts(parameter, BAD[name])


@pytest.mark.parametrize("name", sorted(name for name in BAD if OPTIONS[name].type))
def test_what_the_patterns_refuse_the_program_refuses_too(name):
    argv = ["--input=a", "--output=b", f"--{name}={BAD[name]}"]
    with pytest.raises(UsageError):
        batch_complete.parser().parse_args(argv)


def test_each_parameter_tells_a_person_what_it_is():
    for parameter in METADATA["parameters"]:
        assert parameter["helpText"].endswith((".", "jsonl", "/", "p95", "mini", "completions"))
        assert parameter["label"]
        assert parameter["groupName"] in {"Data", "Model", "Pace", "Limits"}


def test_a_switch_is_still_a_bare_flag_on_the_command_line():
    ours = batch_complete.parser().parse_args(["--emit_deltas", "--input=a", "--output=b"])
    assert ours.emit_deltas is True


# --- The image -----------------------------------------------------------------------------------


def test_main_is_three_lines_and_can_be_imported():
    lines = [line for line in (FOLDER / "main.py").read_text().splitlines() if line.strip()]
    assert len(lines) == 3
    assert load(FOLDER / "main.py").main is batch_complete.main


def test_main_runs_as_the_launcher_runs_it(tmp_path):
    command = [sys.executable, str(FOLDER / "main.py"), "--help"]
    environ = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--api_key_secret" in done.stdout


def test_every_image_is_pinned_and_beam_is_of_one_version():
    images = re.findall(r"(?:^FROM |--from=)(\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 3
    for image in images:
        assert re.search(r"(:|@sha256:)[\w.-]*\d[\w.-]*$", image), image
        assert not image.endswith(":latest")
    beam = re.search(r"^apache-beam==(\S+)", REQUIREMENTS, re.MULTILINE)[1]
    assert f"apache/beam_python3.11_sdk:{beam} " in DOCKERFILE


def test_everything_is_in_the_image_and_nothing_is_installed_at_launch():
    env = dict(re.findall(r"^ENV (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert env == {"FLEX_TEMPLATE_PYTHON_PY_FILE": "/template/main.py"}
    assert 'ENTRYPOINT ["/opt/apache/beam/boot"]' in DOCKERFILE
    installs = re.findall(r"pip install ([^\\&\n]+)", DOCKERFILE)
    assert len(installs) == 2
    assert all("--no-deps" in install for install in installs)
    assert "--require-hashes" in installs[0]
    assert "--no-build-isolation" in installs[1]


def test_what_the_image_copies_is_there():
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source


def test_the_image_holds_no_secret():
    assert not re.search(r"(?i)api_key|secret|password|token|credential", DOCKERFILE)
    assert not re.search(r"^ARG", DOCKERFILE, re.MULTILINE)


# --- What is installed in it -------------------------------------------------------------------


def requirements():
    """Return (requirement, its hashes) for each."""
    joined = re.sub(r"^#.*$", "", REQUIREMENTS, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, joined.splitlines()):
        requirement, *hashes = line.split()
        yield requirement, hashes


def test_every_requirement_is_pinned_and_hashed():
    found = dict(requirements())
    assert len(found) > 50
    for requirement, hashes in found.items():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", requirement)
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


def test_the_requirements_name_no_registry_and_not_the_other_ritellm():
    assert "ritellm" not in REQUIREMENTS
    assert "://" not in REQUIREMENTS
    assert "--index" not in REQUIREMENTS
    assert "--find-links" not in REQUIREMENTS


def test_the_requirements_have_all_that_setup_asks_for():
    setup = (ROOT / "setup.py").read_text()
    wanted = re.findall(r'"([a-z-]+)(?:\[gcp\])?>=', setup.partition("install_requires")[2])
    wanted += ["httptools", "google-cloud-secret-manager", "google-cloud-storage", "setuptools"]
    pinned = {requirement.partition("==")[0] for requirement, _ in requirements()}
    assert {"apache-beam", "httpx", "orjson"} <= set(wanted)
    assert set(wanted) <= pinned


# --- The container spec --------------------------------------------------------------------------


def test_the_container_spec_names_the_image_and_holds_the_metadata():
    spec = container_spec.container_spec("batch_complete", IMAGE)
    assert spec["image"] == IMAGE
    assert spec["sdkInfo"] == {"language": "PYTHON"}
    assert spec["metadata"] == METADATA
    assert spec["metadata"]["streaming"] is False


@GCLOUD
def test_gcloud_would_upload_the_same_spec():
    spec = container_spec.container_spec("batch_complete", IMAGE)
    theirs = container_spec.gclouds_spec("batch_complete", IMAGE)
    assert container_spec.comparable(spec) == theirs
    assert theirs["metadata"]["parameters"] == METADATA["parameters"]


def test_the_script_prints_the_spec():
    command = [sys.executable, str(ROOT / "templates/container_spec.py"), "--image", IMAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == container_spec.container_spec("batch_complete", IMAGE)


def test_the_readme_names_every_required_parameter():
    readme = (FOLDER / "README.md").read_text()
    required = [p["name"] for p in METADATA["parameters"] if not p.get("isOptional")]
    for name in [*required, "sdk_container_image", "api_key_secret"]:
        assert re.search(rf"\b{name}=", readme), name
