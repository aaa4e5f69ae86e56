"""Command lines: ours, Beam's, and what is wrong with them, said before anything is sent."""

from __future__ import annotations

import argparse
import difflib
import glob
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.engines import LOCAL_RUNNERS, Workers, engine_flags, runner, workers
from pipelines.engines import UsageError as UsageError
from ritellm.errors import RitellmError
from ritellm.prepare import plan
from ritellm.providers import locate, split_model
from ritellm.types import Endpoint
from transforms.clients import check_secret_manager
from transforms.journal import Journal, JournalError, NewJournal


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line, and where help is."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a UsageError."""
        raise UsageError(f"{message} (see --help)")


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, PipelineOptions]:
    """Return our options and Beam's; raises UsageError for a flag that neither knows."""
    ours, others = parser.parse_known_args(list(argv))
    _refuse_unknown(parser, others)
    options = PipelineOptions(others)
    given = options.get_all_options(drop_default=True)
    if "runner" not in given:
        # Never plain DirectRunner: it looks for a runner to download first.
        options = PipelineOptions([*others, "--runner=FnApiRunner"])
    return ours, options


def runs_here(options: PipelineOptions) -> bool:
    """Return whether the workers of the job are this process, or its children."""
    return runner(options) in LOCAL_RUNNERS or workers(options) is Workers.IN_PROCESS


def shares_process(options: PipelineOptions) -> bool:
    """Return whether the job is one stage in this process: nothing is gained by spreading rows."""
    return runner(options) in LOCAL_RUNNERS and workers(options) is Workers.IN_PROCESS


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline; raises UsageError for a runner that is not to be had."""
    try:
        return beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        raise UsageError(f"--runner: {_reason(error)}") from None


def check_input(pattern: str) -> None:
    """Raise UsageError unless `pattern` matches a file that can be opened."""
    try:
        found = FileSystems.match([pattern], limits=[1])[0].metadata_list
        if found:
            FileSystems.open(found[0].path).close()
            return
    except Exception as error:
        raise UsageError(f"cannot read --input {pattern}: {_reason(error)}") from None
    raise UsageError(f"--input {pattern} matches no file")


def check_output(folder: str) -> None:
    """Make the output folder; raise UsageError if nothing can be written there."""
    probe = FileSystems.join(folder, f".ritellm-{os.getpid()}")
    try:
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        FileSystems.delete([probe])
    except Exception as error:
        raise UsageError(f"cannot write to --output {folder}: {_reason(error)}") from None


def check_model(
    model: str,
    *,
    here: bool,
    api_key_env: str | None,
    api_key_secret: str | None = None,
    **arguments: Any,
) -> None:
    """Raise UsageError if `model` cannot be asked: unknown, no key, a bad address or parameter.

    A worker elsewhere has keys of its own; `here` says that this process will ask.
    """
    key = os.environ.get(api_key_env) if api_key_env else None
    if here and api_key_env and not key:
        raise UsageError(f"--api_key_env {api_key_env}: that variable is not set")
    if not here or api_key_secret:
        key = key or "the worker's"
    question = [{"role": "user", "content": "?"}]
    try:
        if here and api_key_secret:
            check_secret_manager()
        plan(model, question, os.environ, api_key=key, **arguments)
    except RitellmError as error:
        raise UsageError(error.message) from None


def is_launched_here(model: str) -> bool:
    """Return whether `model` runs on the worker's own machine."""
    return split_model(model)[0].launcher is not None


def reachable_journal(spec: str, output: str, options: PipelineOptions) -> str:
    """Return `spec` as workers of these options can share it; raises UsageError if they cannot.

    A file of one machine is none for workers on others: there `auto` is a folder beside the output.
    """
    if workers(options) is not Workers.ELSEWHERE:
        return spec
    if spec == "auto":
        return str(FileSystems.join(output, "journal"))
    here = re.match(r"rediss?://([^/@]*@)?(localhost|127\.[\d.]+|\[::1\])(:|/|$)", spec)
    if here or spec.startswith(("sqlite:", "unix:")):
        raise UsageError(
            f"--journal {'redis on ' + here[2] if here else spec} is of this machine alone, and the"
            " workers are elsewhere: use redis://HOST/DB, or a folder that all of them share"
        )
    return spec


def journal(spec: str, output: str, required: bool) -> NewJournal | None:
    """Return what opens the journal on a worker; raises UsageError for a `spec` that is none."""
    if spec == "none":
        return None
    try:
        return NewJournal(spec, output, required)
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None


def open_here(spec: str, output: str, required: bool) -> Journal | None:
    """Return this process's journal; raises UsageError if it is in use or cannot be had."""
    new = journal(spec, output, required)
    try:
        return new() if new is not None else None
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None


def start_model(model: str) -> None:
    """Start the model server of this machine, or find it; keep it while this process lives."""
    provider, name = split_model(model)
    print(f"Starting {model} on this machine ...", file=sys.stderr, flush=True)
    try:
        locate(Endpoint(provider, ""), name)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(str(error)) from None


def count_rows(pattern: str, most_bytes: int = 4 << 30) -> int | None:
    """Return the number of lines in local, uncompressed files; None if that costs too much."""
    found = FileSystems.match([pattern])[0].metadata_list
    paths = [file.path for file in found]
    if sum(file.size_in_bytes for file in found) > most_bytes or not all(map(_is_plain, paths)):
        return None
    return sum(_count_lines(path) for path in paths)


def is_written_since(path: str, started: float) -> bool:
    """Return whether the file `path` is there, and is not an earlier run's."""
    for file in FileSystems.match([path])[0].metadata_list:
        return (file.last_updated_in_seconds or started) >= started
    return False


def remove_older(folder: str, started: float) -> None:
    """Delete the outputs of earlier runs in `folder`: this run has replaced them all."""
    for name in ("completions", "failed", "deltas"):
        pattern = FileSystems.join(folder, f"{name}-*.jsonl")
        for file in FileSystems.match([pattern])[0].metadata_list:
            if (file.last_updated_in_seconds or started) < started:
                FileSystems.delete([file.path])


def remove_unfinished(folder: str) -> None:
    """Delete what a job that was stopped has left half written in a local `folder`."""
    for path in glob.glob(os.path.join(glob.escape(folder), "beam-temp-*")):
        shutil.rmtree(path, ignore_errors=True)


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) and not path.endswith((".gz", ".bz2", ".zst", ".zip", ".xz"))


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def _refuse_unknown(parser: argparse.ArgumentParser, others: Sequence[str]) -> None:
    beam = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in _all_subclasses(PipelineOptions):
        options._add_argparse_args(beam)
    try:
        given, unknown = beam.parse_known_args(list(others))
    except SystemExit:
        raise UsageError("Beam does not accept these options, see above") from None
    of_engine = engine_flags(given.runner)
    flags = (each.partition("=")[0] for each in unknown if each.startswith("-"))
    flag = next((each for each in flags if each not in of_engine), None)
    if flag is None:
        return
    known = [*parser._option_string_actions, *beam._option_string_actions, *of_engine]
    near = difflib.get_close_matches(flag, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"unknown flag {flag}{hint} (see --help)")


def _all_subclasses(cls: type) -> list[Any]:
    subclasses: list[Any] = cls.__subclasses__()
    return [found for sub in subclasses for found in (sub, *_all_subclasses(sub))]


def _reason(error: Exception) -> str:
    """Return the heart of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__
