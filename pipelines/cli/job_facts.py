"""What a manifest says of the command line of a job, so that a reader makes the same requests."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from pipelines.bigquery import PREFIX
from pipelines.cli.batch_parser import parser
from pipelines.cli.job_options import shown
from pipelines.filesystem import is_local, printable
from pipelines.inputs import stdin
from ritellm.masking import masked_url
from ritellm.providers import address_in

# Flags that change neither the rows of a job nor its requests.
_FREE = frozenset(
    "api_key_env api_key_file api_key_secret csv_raw emit_deltas fail_above give_up_after"
    " hedge_after journal_alone journal_required keep_order max_cost_usd max_in_flight"
    " max_total_tokens on_interrupt output output_table overwrite prices rate_limiter"
    " report_rows report_text rpm shard_rows shard_seconds timeout tpm watch".split()
)


def flags_of(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that the command line sets and that decide the rows and their requests.

    Paths are absolute, because a reader may start in another folder. Passwords are masked.
    """
    flags = {k: v for k, v in shown(parser(), known_args).items() if k not in _FREE}
    return flags | {"input": [_absolute(location) for location in known_args.input]}


def is_path(location: str) -> bool:
    """Return whether a location of the input is a pattern of local files."""
    return is_local(location) and not location.startswith(PREFIX) and location != stdin.STDIN


def _absolute(location: str) -> str:
    return printable(os.path.abspath(location) if is_path(location) else location)


def address_of(known_args: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """Return the address of the model that the environment names, None if it names none.

    It is a part of the keys in the journal. An address with a password is masked.
    """
    found = None if known_args.base_url else address_in(environ, known_args.model)
    return None if found is None else masked_url(found)
