"""What a command line costs before its job starts: what finds a mistake does not import Beam."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import __main__
from pipelines.cli import beam_options
from pipelines.cli.flags import beam as beam_flags
from pipelines.inputs.options import FORMAT_NAMES
from pipelines.inputs.readers.choice import FORMATS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"apache_beam", "numpy", "pyarrow"}
PROBE = """
import json, runpy, sys
sys.argv = sys.argv[1:]
status = 0
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as exited:
    status = exited.code
print(json.dumps([status, [name for name in sys.modules if "." not in name]]), file=sys.stderr)
"""
BATCH = ["batch_complete", "--output", "out", "--model", "openai/m"]
KEY = {"OPENAI_API_KEY": "k"}


def start(argv, folder, env=KEY):
    """Run a program in `folder`; return its status, its last words, and the packages it loaded."""
    (folder / "in.jsonl").write_text('{"prompt": "hi"}\n')
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, f"pipelines.{argv[0]}", *argv[1:]],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    *said, loaded = done.stderr.splitlines()
    status, names = json.loads(loaded)
    return status, "\n".join(said) or done.stdout, set(names)


MISTAKES = [
    (
        [*BATCH, "--input", "in.jsonl", "--modle", "m"],
        "flag --modle; did you mean --model?",
    ),
    ([*BATCH, "--input", "in.jsonl", "--runer=X"], "unknown flag --runer; did you mean --runner?"),
    ([*BATCH, "--input", "in.jsonl", "--rpm", "0"], "must be a positive whole number, got '0'"),
    ([*BATCH], "required: --input"),
    ([*BATCH, "--input", "nothing.jsonl"], "--input nothing.jsonl matches no file"),
    ([*BATCH, "--input", "in.jsonl", "no/*.jsonl"], "--input no/*.jsonl matches no file"),
    ([*BATCH, "--input", "nothing.jsonl", "--runner=DataflowRunner"], "matches no file"),
    ([*BATCH, "--input", "in.jsonl", "--model", "opnai/m"], "opnai"),
    ([*BATCH, "--input", "in.jsonl", "--prices", "no.json"], "cannot read --prices no.json"),
    ([*BATCH, "--input", "in.jsonl", "--journal", "ftp:x"], "--journal"),
    ([*BATCH, "--input", "in.jsonl", "--api_key_file", "no.key"], "cannot read no.key"),
    ([*BATCH, "--input", "in.jsonl", "--output", "in.jsonl"], "cannot write to --output in.jsonl"),
    ([*BATCH, "--input", "in.jsonl", "--base_url", "nowhere"], "nowhere"),
    (["stream_complete"], "required: --source"),
    (["stream_complete", "--source", "kafak:h/t"], "--source must be one of"),
    (["stream_complete", "--source=stdin", "--deltas_to=nowhere"], "--deltas_to must be one of"),
    (["stream_complete", "--source=stdin", "--flush_msec", "x"], "got 'x'"),
    (["stream_complete", "--source=stdin", "--input", "x"], "unknown flag --input"),
]


@pytest.mark.parametrize(("argv", "words"), MISTAKES, ids=[" ".join(argv) for argv, _ in MISTAKES])
def test_a_mistake_in_the_command_line_is_found_without_beam(tmp_path, argv, words):
    status, said, loaded = start(argv, tmp_path)
    assert status == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert not loaded & HEAVY


@pytest.mark.parametrize("local", [[], ["--runner", "FnApiRunner"], ["--runner=DirectRunner"]])
def test_a_missing_key_is_found_without_beam(tmp_path, local):
    status, said, loaded = start([*BATCH, "--input", "in.jsonl", *local], tmp_path, env={})
    assert (status, "OPENAI_API_KEY" in said) == (2, True)
    assert not loaded & HEAVY


@pytest.mark.parametrize("program", ["batch_complete", "stream_complete"])
def test_help_needs_neither_beam_nor_an_http_client(tmp_path, program):
    status, said, loaded = start([program, "--help"], tmp_path)
    assert (status, said.startswith("usage: ")) == (0, True)
    assert not loaded & {*HEAVY, "httpx", "google", "grpc"}


def test_a_program_loads_no_command_line_of_another(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "hi"}\n')
    flags = ["--input=in.jsonl", "--base_url=http://127.0.0.1:9/v1", "--journal=ftp:x"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"pipelines.{BATCH[0]}", *BATCH[1:], *flags],
        cwd=tmp_path,
        env={**os.environ, **KEY, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "httpx" in loaded
    assert not loaded & {"click", "rich", "pygments"}


def test_the_text_of_beam_has_all_of_its_flags():
    beam = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    for options in beam_options._all_subclasses(PipelineOptions):
        if options.__module__.startswith("apache_beam.options."):
            options._add_argparse_args(beam)
    assert set(beam._option_string_actions) - beam_flags._of_beam() == set()


def test_flags_of_beam_pass_with_values_of_every_form():
    flags = ["--experiments=a", "--disk_size_gb", "-1", "--no_auth", "--job_name", "-a b"]
    beam_flags.refuse_unknown(["--runner", "PrismRunner", *flags], [])


def test_the_flags_name_each_format_of_input():
    assert list(FORMAT_NAMES) == list(FORMATS)


# --- Ctrl-C while a program starts ----------------------------------------------------------------

# Presses Ctrl-C when Python looks for the module AT.
CUSTOMIZE = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
MODULES = [
    "argparse",
    "pipelines.cli",
    "transforms.journal",
    "httpx",
    "apache_beam",
    "apache_beam.runners.worker.operations",
    "pyarrow",
    "pipelines.batch_job",
    "pipelines.terminal.summary",
]


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_in_the_imports_of_a_program_ends_it_with_one_line(tmp_path, module):
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZE)
    (tmp_path / "in.jsonl").write_text('{"prompt": "hi"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.batch_complete", "--input=in.jsonl", *BATCH[1:]],
        cwd=tmp_path,
        env={**os.environ, **KEY, "AT": module, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 130
    assert re.fullmatch(r"batch_complete: stopped.* the job .*\n", done.stderr), done.stderr
    assert not (tmp_path / "out").exists()


# --- The list of programs -------------------------------------------------------------------------


def test_the_package_lists_its_programs(capsys):
    assert __main__.main([]) == 0
    listed = re.findall(r"python -m pipelines\.(\w+)", capsys.readouterr().out)
    texts = {path.stem: path.read_text() for path in (ROOT / "pipelines").glob("*.py")}
    runs = {name for name, text in texts.items() if "\nif __name__" in text} - {"__main__"}
    runs |= {path.parent.name for path in (ROOT / "pipelines").glob("*/__main__.py")}
    assert set(listed) == runs


def test_the_package_points_to_the_program_that_was_meant(capsys):
    assert __main__.main(["batch_complet"]) == 2
    assert "did you mean batch_complete?" in capsys.readouterr().err
