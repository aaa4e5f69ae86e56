"""Command lines: ours, Beam's, and what is wrong with them, said before anything is sent."""

from __future__ import annotations

import argparse
import difflib
import glob
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import bigquery
from pipelines.runners.runner import LOCAL_RUNNERS, Workers, engine_flags, runner, workers
from pipelines.runners.runner import UsageError as UsageError
from ritellm.calls.prepare import plan
from ritellm.errors import RitellmError
from ritellm.providers import locate, split_model
from ritellm.types import Endpoint
from transforms.journal import Journal, JournalError, NewJournal
from transforms.worker.factories import check_secret, key_in_file, key_in_secret


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
        # Beam says in one error what is wrong with its own options.
        _, of_options, found = reason(error).partition("Pipeline has validations errors: ")
        raise UsageError(found if of_options else f"--runner: {reason(error)}") from None


def check_input(pattern: str) -> None:
    """Raise UsageError unless `pattern` matches a file that can be opened, or names a table."""
    if pattern.startswith(bigquery.PREFIX):
        _check_table("--input", pattern, bigquery.check_input)
        return
    try:
        found = FileSystems.match([pattern], limits=[1])[0].metadata_list
        if found:
            FileSystems.open(found[0].path).close()
            return
    except Exception as error:
        raise UsageError(f"cannot read --input {pattern}: {reason(error)}") from None
    raise UsageError(f"--input {pattern} matches no file")


def check_output_table(table: str | None) -> None:
    """Raise UsageError if completions cannot be written to `table`."""
    if table is not None:
        _check_table("--output_table", table, bigquery.check_output)


def _check_table(flag: str, text: str, check: Callable[[bigquery.Table], None]) -> None:
    try:
        check(bigquery.parse(text))
    except (bigquery.TableError, ValueError) as error:
        raise UsageError(f"{flag} {text}: {error}") from None


def check_temp(options: PipelineOptions, ours: argparse.Namespace) -> None:
    """Raise UsageError if a table is read or written and nothing can lie between."""
    tables = ours.output_table or ours.input.startswith(bigquery.PREFIX)
    place = str(options.get_all_options().get("temp_location") or "")
    if tables and runs_here(options) and not place.startswith("gs://"):
        raise UsageError(
            "BigQuery is read and written through files: name a bucket for them,"
            " --temp_location gs://BUCKET/tmp"
        )


def check_apart(pattern: str, folder: str) -> None:
    """Raise UsageError if `pattern` matches what a run that writes to `folder` would replace."""
    if pattern.startswith(bigquery.PREFIX):
        return
    for name in ("completions", "failed", "deltas"):
        outputs = _place(FileSystems.join(folder, f"{name}-"))
        for file in FileSystems.match([pattern])[0].metadata_list:
            path = _place(file.path)
            if path.startswith(outputs) and "/" not in path[len(outputs) :]:
                raise UsageError(
                    f"{file.path} is an output of --output {folder}, which this run would replace:"
                    " take another --output (the first command again asks failed rows again, too)"
                )


def _place(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def check_output(folder: str) -> None:
    """Make the output folder; raise UsageError if nothing can be written there."""
    check_writable("--output", folder)


def check_writable(flag: str, folder: str) -> None:
    """Make `folder`; raise UsageError, which names `flag`, if nothing can be written there."""
    probe = FileSystems.join(folder, f".ritellm-{os.getpid()}")
    try:
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        FileSystems.delete([probe])
    except Exception as error:
        raise UsageError(f"cannot write to {flag} {folder}: {reason(error)}") from None


def check_model(
    model: str,
    *,
    here: bool,
    api_key_env: str | None,
    api_key_secret: str | None = None,
    api_key_file: str | None = None,
    **arguments: Any,
) -> None:
    """Raise UsageError if `model` cannot be asked: unknown, no key, a bad address or parameter.

    A worker elsewhere has keys of its own; `here` says that this process will ask.
    """
    key = os.environ.get(api_key_env) if api_key_env else None
    if here and api_key_env and not key:
        raise UsageError(f"--api_key_env {api_key_env}: that variable is not set")
    if not here or api_key_secret or api_key_file:
        key = key or "the worker's"
    question = [{"role": "user", "content": "?"}]
    try:
        if here and api_key_file:
            key = key_in_file(api_key_file)
        plan(model, question, os.environ, stream=True, api_key=key, **arguments)
        if api_key_secret:
            check = key_in_secret if here else check_secret
            check(api_key_secret)
    except RitellmError as error:
        raise UsageError(_in_flags(error.message)) from None


def _in_flags(message: str) -> str:
    """Return what is said to callers of `completion` as users of the program know it."""
    return message.replace("on_interrupt='restart' or 'raise'", "--on_interrupt restart or fail")


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
    if "://" in spec and not spec.startswith("redis"):
        check_writable("--journal", spec)
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
    if pattern.startswith(bigquery.PREFIX):
        return None
    found = FileSystems.match([pattern])[0].metadata_list
    paths = [file.path for file in found]
    if sum(file.size_in_bytes for file in found) > most_bytes or not all(map(_is_plain, paths)):
        return None
    return sum(_count_lines(path) for path in paths)


def written_before(folder: str) -> dict[str, float]:
    """Return the outputs that earlier runs have left in `folder`, and when they were written."""
    patterns = [
        FileSystems.join(folder, f"{name}-*.jsonl") for name in ("completions", "failed", "deltas")
    ]
    found = [file for match in FileSystems.match(patterns) for file in match.metadata_list]
    return {file.path: file.last_updated_in_seconds for file in found}


def is_written_since(path: str, started: float) -> bool:
    """Return whether the file `path` is there, and is not an earlier run's."""
    for file in FileSystems.match([path])[0].metadata_list:
        return (file.last_updated_in_seconds or started) >= started
    return False


def remove_older(folder: str, before: Mapping[str, float]) -> None:
    """Delete what this run has not written anew of the outputs `before` it: they are replaced."""
    for path, written in written_before(folder).items():
        if before.get(path) == written:  # no clock says which is which: it may have been set back
            FileSystems.delete([path])


def remove_unfinished(folder: str, before: float = math.inf) -> None:
    """Delete what jobs that were stopped have left half written in a local `folder`."""
    for path in glob.glob(os.path.join(glob.escape(folder), "beam-temp-*")):
        if os.path.getmtime(path) < before:
            shutil.rmtree(path, ignore_errors=True)
    for path in glob.glob(os.path.join(glob.escape(folder), "*.unfinished")):
        if os.path.getmtime(path) < before:
            os.remove(path)


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


def positive(text: str) -> int:
    """Return a whole number from 1; raises what argparse wants."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def reason(error: Exception) -> str:
    """Return the heart of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__
