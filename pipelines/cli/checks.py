"""Command lines: ours, Beam's, and what is wrong with them, said before anything is sent."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import bigquery
from pipelines.errors import UsageError
from pipelines.filesystem import check_writable, reason
from pipelines.inputs import bigquery as inputs_bigquery
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.runners.pipeline import runs_here
from ritellm.calls.prepare import plan
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.providers import locate, split_model
from transforms.worker.credentials import check_secret, key_in_file, key_in_secret


def check_input(pattern: str) -> None:
    """Raise UsageError unless `pattern` matches a file that can be opened, or names a table."""
    if pattern.startswith(bigquery.PREFIX):
        _check_table("--input", pattern, inputs_bigquery.check_input)
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
        _check_table("--output_table", table, outputs_bigquery.check_output)


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


def start_model(model: str) -> None:
    """Start the model server of this machine, or find it; keep it while this process lives."""
    provider, name = split_model(model)
    print(f"Starting {model} on this machine ...", file=sys.stderr, flush=True)
    try:
        locate(Endpoint(provider, ""), name)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(str(error)) from None
