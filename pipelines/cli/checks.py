"""Checks what the flags name: input, output, key and model, before the first request."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import bigquery
from pipelines.cli import prompt_flags
from pipelines.cli.input_flags import input_format
from pipelines.errors import UsageError
from pipelines.filesystem import check_writable, is_local
from pipelines.inputs.known_columns import check_columns as check_known
from pipelines.inputs.known_columns import known_columns
from pipelines.inputs.paths import has_wildcard
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs.folder import is_output
from pipelines.runners.pipeline import runs_here
from ritellm.calls.prepare import plan
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.providers import locate, split_model
from ritellm.transports.settings import check_settings
from transforms.graph.refused_secrets import refuse_secrets
from transforms.worker.credentials import check_secret, key_in_file, key_in_secret


def check_input(known_args: argparse.Namespace) -> None:
    """Raise UsageError unless `--input` names an input that can be read."""
    input_format(known_args).check(known_args.input)


def check_columns(known_args: argparse.Namespace) -> None:
    """Raise UsageError for a wrong flag about prompts, or a column that no row has."""
    rows = prompt_flags.row_form(known_args)
    known = known_columns(input_format(known_args), known_args.input, rows)
    check_known(known, prompt_flags.columns_by_flag(rows), rows)


def check_output_table(table: str | None) -> None:
    """Raise UsageError if completions cannot be written to `table`."""
    if table is None:
        return
    try:
        outputs_bigquery.check_output(bigquery.parse(table))
    except (bigquery.TableError, ValueError) as error:
        raise UsageError(f"--output_table {table}: {error}") from None


def check_temp(options: PipelineOptions, known_args: argparse.Namespace) -> None:
    """Raise UsageError if the job uses a table and has no bucket for temporary files."""
    needs_bucket = known_args.output_table or input_format(known_args).needs_bucket
    location = str(options.get_all_options().get("temp_location") or "")
    if needs_bucket and runs_here(options) and not location.startswith("gs://"):
        raise UsageError(
            "BigQuery is read and written through files in a bucket; add"
            " --temp_location gs://BUCKET/tmp"
        )


def check_apart(known_args: argparse.Namespace) -> None:
    """Raise UsageError if the input contains outputs of earlier runs to the output folder."""
    folder = known_args.output
    for file in input_format(known_args).files(known_args.input):
        path, name = _absolute(file).rsplit("/", 1)
        if is_output(name) and path == _absolute(folder).rstrip("/"):
            raise UsageError(
                f"{file} is an output of --output {folder}, which this run would replace;"
                " choose another --output (the first command also retries failed rows)"
            )


def _absolute(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path


def check_output(folder: str, here: bool) -> None:
    """Create the output folder; raise UsageError if workers cannot write to it."""
    if has_wildcard(folder) and not (here and is_local(folder)):
        raise UsageError(f"--output must not have *, ? or brackets on other machines, got {folder}")
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
    """Raise UsageError for an unknown model, a missing key, or a wrong address or parameter.

    `here` means that this process sends the requests. Workers elsewhere have their own keys.
    """
    try:
        refuse_secrets(model, arguments)
    except TypeError as error:
        raise UsageError(str(error)) from None
    key = os.environ.get(api_key_env) if api_key_env else None
    if here and api_key_env and not key:
        raise UsageError(f"--api_key_env {api_key_env}: the variable is not set; export it")
    if not here or api_key_secret or api_key_file:
        key = key or "the worker's"
    messages = [{"role": "user", "content": "?"}]
    try:
        if here and api_key_file:
            key = key_in_file(api_key_file)
        planned = plan(model, messages, os.environ, stream=True, api_key=key, **arguments)
        if here:
            check_settings(planned.endpoint.base_url)
        if api_key_secret:
            check = key_in_secret if here else check_secret
            check(api_key_secret)
    except RitellmError as error:
        raise UsageError(_in_flags(error.message)) from None


def _in_flags(message: str) -> str:
    """Return an error of `completion` with the names of flags instead of parameters."""
    return message.replace("on_interrupt='restart' or 'raise'", "--on_interrupt restart or fail")


def is_launched_here(model: str) -> bool:
    """Return whether `model` runs on the machine of the worker."""
    return split_model(model)[0].launcher is not None


def start_model(model: str) -> None:
    """Start the model server of this machine, or find a running one, until this process ends."""
    provider, name = split_model(model)
    print(f"Starting {model} on this machine ...", file=sys.stderr, flush=True)
    try:
        locate(Endpoint(provider, ""), name)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(str(error)) from None
