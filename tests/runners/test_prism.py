"""The programs on Prism, Beam's portable runner in Go."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from conftest import (
    assert_a_judge_is_live,
    assert_a_model_server_may_die,
    assert_a_stream_survives_its_worker,
    assert_ctrl_c_keeps_what_was_paid_for,
    assert_live,
    assert_turns,
    assert_windowed_and_counted,
    texts,
)
from programs import until
from prompts import prompts


def test_a_batch_runs_on_prism_as_it_does_here(prism, job):
    assert job.start(60, *prism, "--emit_deltas").wait() == 0, job.said
    job.assert_whole()
    assert texts(job, "deltas") == {f"r{n}": f"one two {n}" for n in range(60)}


def test_ctrl_c_ends_the_job_and_what_was_paid_for_is_kept(prism, held):
    assert_ctrl_c_keeps_what_was_paid_for(held, *prism)


@pytest.mark.parametrize("who", ["prism", "the program, whose threads are the workers"])
def test_who_dies_ends_the_job_and_the_same_command_goes_on(prism, held, who):
    held.start(100, *prism, "--max_in_flight=50")
    held.server.wait_until(lambda: held.server.open_streams == 50, 60)
    [runner] = held.children("prism")
    os.kill(runner if who == "prism" else held.pid, signal.SIGKILL)
    assert held.wait(60) != 0, held.said
    held.server.wait_until(lambda: held.server.open_streams == 0, 30)
    held.server.go.set()
    assert held.start(100, *prism).wait() == 0, held.said
    held.assert_whole()
    assert len(held.server.requests) <= 100 + 50


def test_the_model_server_dies_and_comes_back(prism, models, tmp_path):
    assert_a_model_server_may_die(models, tmp_path, *prism, "--max_in_flight=50")


def test_a_prism_that_is_not_there_is_one_sentence(job):
    assert job.start(1, "--runner=PrismRunner", "--prism_location=/no/prism").wait() == 2
    assert job.said.splitlines()[-1].startswith("batch_complete: --prism_location /no/prism")


def test_deltas_go_out_live(prism, held, processes):
    assert_live(held, processes, *prism)


def test_an_interrupt_lets_the_answers_of_a_stream_end(
    prism, streaming, models, processes, tmp_path
):
    """One that Prism does not hear of: a terminal's Ctrl-C would end it, too."""
    files = tmp_path / "prompts"
    files.mkdir()
    (files / "rows.jsonl").write_bytes(b"\n".join(prompts(20)))
    streaming(f"--source=dir:{files}", f"--deltas_to=jsonl:{tmp_path}/out", *prism)
    until(lambda: models.open == 20, 90)
    os.kill(processes.pid("stream"), signal.SIGINT)
    models.go()
    assert processes.wait("stream", 60) == 0, processes.tail("stream")
    assert (files / "done" / "rows.jsonl").exists()
    assert len(models.asked) == 20


def test_a_second_interrupt_ends_the_program_and_prism_at_once(prism, held):
    held.start(100, *prism, "--max_in_flight=50")
    held.server.wait_until(lambda: held.server.open_streams == 50, 60)
    [runner] = held.children("prism")
    held.interrupt()
    held.interrupt()
    assert held.wait(30) == 130, held.said
    until(lambda: not Path(f"/proc/{runner}/exe").exists(), 30)


def test_workers_elsewhere_read_by_turns_from_kafka_to_kafka(
    prism, pool, from_kafka_to_kafka, source, deltas_in_kafka, models, processes
):
    def ended():
        assert processes.wait("stream", 60) == 1, processes.tail("stream")

    start = partial(from_kafka_to_kafka, *prism, *pool)
    assert_turns(start, source, deltas_in_kafka, models)
    assert_a_stream_survives_its_worker(start, source, deltas_in_kafka, models, processes, ended)
    models.hold()
    source.send(*prompts(5, start=20))
    until(lambda: models.open == 5, 90)
    processes.kill("stream", signal.SIGINT)
    assert processes.wait("stream", 60) == 130, processes.tail("stream")
    until(lambda: models.open == 0, 30)


def test_windows_and_metrics(prism, fake_server, tmp_path):
    assert_windowed_and_counted(fake_server, tmp_path, *prism)


def test_a_prompt_in_two_windows_is_sent_once(prism, fake_server, tmp_path):
    assert_windowed_and_counted(fake_server, tmp_path, *prism, windows="sliding", since=-1)


def test_a_judge_is_live_while_a_generation_lasts(prism, fake_server, processes, tmp_path):
    assert_a_judge_is_live(fake_server, processes, tmp_path, *prism)
