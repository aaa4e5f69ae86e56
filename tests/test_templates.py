"""The templates hold what the pipelines want, and nothing that should not be in an image."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import batch_complete, bigquery, stream_complete
from pipelines.cli import locations
from pipelines.cli.flags.limits import dollars, share
from pipelines.cli.parser import not_negative, positive
from pipelines.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "templates"
GCLOUD = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
PROGRAMS = {"batch_complete": batch_complete, "stream_complete": stream_complete}
# Of one machine alone; Kafka's own source is Java's, and no Java is in the image.
NOT_THERE = {
    "batch_complete": {"help", "version", "keep_order", "shard_seconds", "watch"},
    "stream_complete": {"help", "version", "kafka_group", "serve", "serve_prompts", "turn_seconds"},
}
# These have defaults that are of one machine: the embedded model, the terminal.
REQUIRED_THERE = {"model", "deltas_to"}


class Template:
    """What is in the folder of a template, and the options of its program."""

    def __init__(self, name):
        self.name, self.folder, self.program = name, TEMPLATES / name, PROGRAMS[name]
        self.metadata = json.loads((self.folder / "metadata.json").read_text())
        self.parameters = {each["name"]: each for each in self.metadata["parameters"]}
        self.dockerfile = (self.folder / "Dockerfile").read_text()
        self.requirements = (self.folder / "requirements.txt").read_text()
        self.readme = (self.folder / "README.md").read_text()
        self.image = f"europe-west4-docker.pkg.dev/my-project/jobs/{name}:1"
        self.options = {
            action.option_strings[0].removeprefix("--"): action
            for action in self.program.parser()._actions
            if action.dest not in NOT_THERE[name]
        }


BOTH = [Template(name) for name in PROGRAMS]
template = pytest.mark.parametrize("template", BOTH, ids=lambda template: template.name)
option = pytest.mark.parametrize(
    ("template", "name"),
    [pytest.param(t, name, id=f"{t.name}-{name}") for t in BOTH for name in t.options],
)


def load(path):
    spec = importlib.util.spec_from_file_location(f"templates_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


container_spec = load(TEMPLATES / "container_spec.py")


# --- metadata.json and the command line ----------------------------------------------------------


@template
def test_the_template_takes_what_the_program_takes(template):
    assert template.parameters.keys() == template.options.keys()
    assert len(template.parameters) == len(template.metadata["parameters"])


@option
def test_required_and_defaults_agree(template, name):
    option, parameter = template.options[name], template.parameters[name]
    if name in REQUIRED_THERE:
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


@option
def test_types_agree(template, name):
    option, parameter = template.options[name], template.parameters[name]
    kind = parameter["paramType"]
    if isinstance(option.default, bool):
        assert kind == "BOOLEAN"
    elif option.choices:
        assert kind == "ENUM"
        labels = [choice["value"] for choice in parameter["enumOptions"]]
        assert labels == [str(choice) for choice in option.choices]
    elif option.type in (int, float, positive, not_negative, dollars, share):
        assert kind == "NUMBER"
    else:
        assert kind == "TEXT" or kind.startswith("GCS_")


@option
def test_the_launcher_can_set_each_parameter_the_way_it_does(template, name):
    """It writes --name=value, switches too."""
    given = {each: GOOD[each] for each in ("input", "output", "source") if each in template.options}
    given[name] = GOOD.get(name) or template.parameters[name]["defaultValue"]
    argv = [f"--{k}={v}" for k, v in given.items()]
    known_args = template.program.parser().parse_args(argv)
    if template.parameters[name]["paramType"] == "BOOLEAN":
        assert getattr(known_args, name) is (given[name] == "true")
    else:
        value = getattr(known_args, name)
        assert (value == [given[name]]) if isinstance(value, list) else (str(value) == given[name])


SECRET = "projects/my-project/secrets/openai/versions/3"
GOOD = {
    "input": "gs://bucket/prompts/*.jsonl.gz",
    "input_format": "csv",
    "csv_header": "id,prompt",
    "csv_delimiter": ";",
    "encoding": "latin-1",
    "columns": "title,price",
    "prompt_template": "Translate: {{ text }}",
    "system_template": "Be brief.",
    "shots": "gs://bucket/shots.jsonl",
    "images": "photo",
    "images_root": "gs://bucket/photos",
    "id_column": "sku",
    "param_columns": "max_tokens,temperature",
    "param": "top_p=0.9",
    "output": "gs://bucket/out/",
    "output_table": "my-project:evals.answers",
    "source": "pubsub:projects/my-project/subscriptions/prompts",
    "deltas_to": "redis://10.0.0.7/0?per_id=true",
    "completions_to": "bigquery:my-project:evals.answers",
    "failed_to": "kafka:b1:9092,b2:9092/failed",
    "kafka_config": "gs://bucket/kafka.properties",
    "model": "openai/gpt-4o-mini",
    "base_url": "http://10.0.0.7:8000/v1",
    "api_key_env": "OPENAI_API_KEY",
    "commit_every": "0.5",
    "api_key_secret": SECRET,
    "hedge_after": "p95",
    "timeout": "first_chunk=900,total=none",
    "rate_limiter": "10.0.0.9:8081/llm",
    "max_in_flight": "128",
    "rpm": "500",
    "tpm": "200000",
    "max_tokens": "9",
    "temperature": "0.7",
    "top_p": "0.9",
    "limit": "20",
    "sample": "20",
    "emit_deltas": "true",
    "api_key_file": "/run/secrets/openai",
    "max_cost_usd": "2.5",
    "max_total_tokens": "1000000",
    "prices": "gs://bucket/prices.json",
    "fail_above": "0.2",
    "records": "$.items[*]",
    "record_schema": "gs://bucket/record.json",
    "stop_when": "10",
    "answer_columns": "label:enum(good,bad),score:float",
    "answer_schema": "gs://bucket/schema.json",
    "grow_max_tokens": "4000",
    "validator": "my_package.checks:plausible",
}
BAD = {
    "input": "prompts.jsonl",
    "output": "/tmp/out",
    "output_table": "answers",
    "source": "kafka:b1:9092/prompts",
    "deltas_to": "bigquery:my-project:evals.deltas",
    "completions_to": "jsonl:out",
    "failed_to": "redis://:password@10.0.0.7/0",
    "model": "gpt-4o-mini",
    "base_url": "10.0.0.7:8000",
    "api_key_env": "sk-a key",
    "api_key_secret": "sk-planted",
    "hedge_after": "p100",
    "timeout": "first_chunk:900",
    "rate_limiter": "10.0.0.9/llm",
    "max_in_flight": "0",
    "stop_when": "0",
    "flush_msec": "1.5",
    "sink_patience": "0",
    "max_message_bytes": "1e6",
    "temperature": "hot",
    "top_p": "most",
    "limit": "0",
    "sample": "0",
    "emit_deltas": "yes",
    "max_cost_usd": "0",
    "max_total_tokens": "1e6",
    "fail_above": "20",
}


@pytest.mark.parametrize("table", ["bigquery:p:d.t", "bigquery:p-1.d.t", "bigquery:d.org:p:d.t-1"])
def test_tables_may_have_any_name_that_bigquery_has(table):
    batch, stream = BOTH
    assert accepts(batch.parameters["input"], table)
    assert accepts(stream.parameters["completions_to"], table)
    assert bigquery.parse(table).dataset == "d"


@pytest.mark.parametrize(
    "place",
    ["pubsub:projects/p/topics/t", "kafka:b:9092/t", "redis://h:6379/0", "redis:rediss://h/0"],
)
def test_locations_that_match_the_patterns_are_accepted_by_the_program(place):
    stream = BOTH[1]
    assert accepts(stream.parameters["deltas_to"], place)
    known_args = stream.program.parser().parse_args([f"--source={GOOD['source']}"])
    assert locations.sink(known_args, "--deltas_to", place, "deltas")


def accepts(parameter, value):
    return all(re.search(regex, value) for regex in parameter.get("regexes", ()))


@option
def test_the_patterns_accept_what_is_right_and_refuse_what_is_not(template, name):
    parameter = template.parameters[name]
    for value in filter(None, (GOOD.get(name), parameter.get("defaultValue"))):
        assert accepts(parameter, value)
    if name in BAD:
        assert not accepts(parameter, BAD[name])


@option
def test_what_the_patterns_refuse_the_program_refuses_too(template, name):
    if name not in BAD or not template.options[name].type:
        return
    required = [f"--{o}=a" for o in ("input", "output", "source") if o in template.options]
    with pytest.raises(UsageError):
        template.program.parser().parse_args([*required, f"--{name}={BAD[name]}"])


@template
def test_each_parameter_tells_a_person_what_it_is(template):
    for parameter in template.metadata["parameters"]:
        assert re.search(r"\.$|Example: \S+$", parameter["helpText"]), parameter["name"]
        assert parameter["label"]
        assert parameter["groupName"] in {"Data", "Prompts", "Model", "Pace", "Limits", "Sinks"}


def test_what_both_take_they_take_alike():
    batch, stream = (each.parameters for each in BOTH)
    for name in batch.keys() & stream.keys() - {"journal"}:
        assert batch[name] == stream[name]


def test_only_a_stream_has_modes():
    batch, stream = (each.metadata for each in BOTH)
    assert (batch["streaming"], stream["streaming"]) == (False, True)
    assert stream["supportsAtLeastOnce"] is stream["supportsExactlyOnce"] is True
    assert stream["defaultStreamingMode"] == "EXACTLY_ONCE"
    assert "defaultStreamingMode" not in batch


def test_a_switch_is_still_a_bare_flag_on_the_command_line():
    known_args = batch_complete.parser().parse_args(["--emit_deltas", "--input=a", "--output=b"])
    assert known_args.emit_deltas is True


# --- The image -----------------------------------------------------------------------------------


@template
def test_main_is_three_lines_and_can_be_imported(template):
    lines = [
        line for line in (template.folder / "main.py").read_text().splitlines() if line.strip()
    ]
    assert len(lines) == 3
    assert load(template.folder / "main.py").main is template.program.main


@template
def test_main_runs_as_the_launcher_runs_it(template, tmp_path):
    command = [sys.executable, str(template.folder / "main.py"), "--help"]
    environ = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--api_key_secret" in done.stdout


@template
def test_every_image_is_pinned_and_beam_is_of_one_version(template):
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", template.dockerfile, re.MULTILINE))
    assert images.keys() == {"PYTHON_IMAGE", "BEAM_IMAGE", "LAUNCHER_IMAGE"}
    used = re.findall(r"^FROM \$\{(\w+)\}(?: AS \w+)?$", template.dockerfile, re.MULTILINE)
    assert sorted(used) == sorted(images)
    assert template.dockerfile.count("\nFROM ") == 3
    assert set(re.findall(r"--from=(\S+)", template.dockerfile)) == {"beam", "launcher"}
    for image in images.values():
        assert re.search(r"(:|@sha256:)[\w.-]*\d[\w.-]*$", image), image
        assert not image.endswith(":latest")
    beam = re.search(r"^apache-beam==(\S+)", template.requirements, re.MULTILINE)[1]
    assert images["BEAM_IMAGE"] == f"apache/beam_python3.11_sdk:{beam}"


@template
def test_everything_is_in_the_image_and_nothing_is_installed_at_launch(template):
    env = dict(re.findall(r"^ENV (\w+)=(\S+)$", template.dockerfile, re.MULTILINE))
    assert env == {"FLEX_TEMPLATE_PYTHON_PY_FILE": "/template/main.py"}
    assert 'ENTRYPOINT ["/opt/apache/beam/boot"]' in template.dockerfile
    installs = re.findall(r"pip install ([^\\&\n]+)", template.dockerfile)
    assert len(installs) == 2
    assert all("--no-deps" in install for install in installs)
    assert "--require-hashes" in installs[0]
    assert "--no-build-isolation" in installs[1]


@template
def test_what_the_image_copies_is_there(template):
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", template.dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source


@template
def test_the_image_holds_no_secret(template):
    assert not re.search(r"(?i)api_key|secret|password|token|credential", template.dockerfile)
    arguments = re.findall(r"^ARG (\w+)", template.dockerfile, re.MULTILINE)
    assert all(name.endswith("_IMAGE") or name == "RUN_AS" for name in arguments)


@template
def test_the_image_can_run_as_a_user_who_owns_nothing_in_it(template):
    lines = template.dockerfile.splitlines()
    assert "ARG RUN_AS=root" in lines  # Dataflow accepts no other, see the comment there
    assert lines.index("USER ${RUN_AS}") > max(
        n for n, line in enumerate(lines) if line.startswith(("COPY", "RUN"))
    )
    assert any(re.match(r"RUN useradd --uid 10001 .*worker$", line) for line in lines)
    assert "chown" not in template.dockerfile


# --- What is installed in it -------------------------------------------------------------------


def requirements(template):
    """Return (requirement, its hashes) for each."""
    joined = re.sub(r"^#.*$", "", template.requirements, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, joined.splitlines()):
        requirement, *hashes = line.split()
        yield requirement, hashes


@template
def test_every_requirement_is_pinned_and_hashed(template):
    found = dict(requirements(template))
    assert len(found) > 50
    for requirement, hashes in found.items():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", requirement)
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


@template
def test_the_requirements_name_no_registry_and_not_the_other_ritellm(template):
    assert "ritellm" not in template.requirements
    assert "://" not in template.requirements
    assert "--index" not in template.requirements
    assert "--find-links" not in template.requirements


def extras():
    """Return what setup.py asks for in each extra."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    [made] = [n for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "EXTRAS"]
    return ast.literal_eval(made.value)


@template
def test_the_requirements_contain_all_packages_of_the_extras(template):
    asked = (template.folder / "requirements.in").read_text()
    wanted = ["apache-beam", "httpx", "orjson", "setuptools"]
    wanted += ["google-cloud-secret-manager", "google-cloud-storage", "google-cloud-pubsub"]
    [named] = re.findall(r"^\.\[([a-z,]+)\]$", asked, re.MULTILINE)
    wanted += [each for extra in named.split(",") for each in extras()[extra]]
    pinned = {requirement.partition("==")[0] for requirement, _ in requirements(template)}
    assert {re.match(r"[a-z0-9-]+", each)[0] for each in wanted} <= pinned
    assert {"redis", "httptools"} <= pinned  # a journal for all workers; the fast transport


def test_the_two_images_are_one_but_for_what_their_programs_need():
    batch, stream = BOTH
    assert batch.dockerfile.replace(batch.name, stream.name) == stream.dockerfile
    less, more = (dict(requirements(each)) for each in BOTH)
    assert less.items() <= more.items()
    assert {each.partition("==")[0] for each in more.keys() - less.keys()} == {"confluent-kafka"}


# --- The container spec --------------------------------------------------------------------------


@template
def test_the_container_spec_names_the_image_and_holds_the_metadata(template):
    spec = container_spec.container_spec(template.name, template.image)
    assert spec["image"] == template.image
    assert spec["sdkInfo"] == {"language": "PYTHON"}
    assert spec["metadata"] == template.metadata


@GCLOUD
@template
def test_gcloud_would_upload_the_same_spec(template):
    spec = container_spec.container_spec(template.name, template.image)
    theirs = container_spec.gclouds_spec(template.name, template.image)
    assert container_spec.comparable(spec) == theirs
    assert theirs["metadata"]["parameters"] == template.metadata["parameters"]


@template
def test_the_script_prints_the_spec(template):
    script = str(TEMPLATES / "container_spec.py")
    command = [sys.executable, script, template.name, f"--image={template.image}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == container_spec.container_spec(template.name, template.image)


@template
def test_the_readme_names_every_required_parameter(template):
    required = [p["name"] for p in template.metadata["parameters"] if not p.get("isOptional")]
    for name in [*required, "sdk_container_image", "api_key_secret"]:
        assert re.search(rf"\b{name}=", template.readme), name
