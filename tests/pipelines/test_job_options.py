"""The program's own flags show up as options of the job, without passwords."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import batch_complete, stream_complete
from pipelines.cli.parser import parse
from pipelines.errors import UsageError


def options_of(program, *flags):
    """Return what a runner shows of the options that the command line sets."""
    return parse(program.parser(), flags)[1].beam.display_data()


BATCH = ["--input", "a.jsonl", "b.jsonl", "--output=out"]


def test_the_flags_of_a_job_are_its_options():
    flags = [*BATCH, "--model=openai/m", "--max_in_flight=9", "--dedupe", "--max_cost_usd=2.5"]
    shown = options_of(batch_complete, *flags, "--api_key_env=MY_KEY", "--job_name=j")
    assert shown == {
        "input": ["a.jsonl", "b.jsonl"],
        "output": "out",
        "model": "openai/m",
        "max_in_flight": 9,
        "dedupe": True,
        "max_cost_usd": 2.5,
        "api_key_env": "MY_KEY",
        "job_name": "j",
        "runner": "FnApiRunner",
    }


def test_the_model_is_shown_even_if_it_is_the_usual_one():
    assert options_of(batch_complete, *BATCH)["model"] == "local/gemma-3-270m"


def test_addresses_are_options_without_their_passwords():
    flags = ["--source=kafka:h:9/t", "--deltas_to=redis:redis://:hunter2@h/0"]
    shown = options_of(stream_complete, *flags, "--journal=redis://me:hunter2@h/1")
    assert shown["source"] == "kafka:h:9/t"
    assert shown["deltas_to"] == "redis:redis://h/0"
    assert shown["journal"] == "redis://h/1"


def test_a_runner_gets_them_and_other_pipelines_do_not():
    _, options = parse(batch_complete.parser(), [*BATCH, "--model=openai/m"])
    assert options.beam.to_runner_api()["beam:option:model:v1"] == "openai/m"
    assert parse(stream_complete.parser(), ["--source=stdin"])[1].beam
    assert "input" not in PipelineOptions([]).get_all_options()


def test_a_flag_of_the_other_program_is_still_unknown():
    assert parse(stream_complete.parser(), ["--source=stdin", "--flush_msec=5"])[1].beam
    with pytest.raises(UsageError, match="unknown flag --flush_msec"):
        parse(batch_complete.parser(), [*BATCH, "--flush_msec=5"])
