"""The names of an output folder: runs, their shards, and what a job keeps beside them.

    completions-20261130T174005123-3f9a1c-00001.jsonl      KIND-RUN-SHARD.SUFFIX
    _manifest/20261130T174005123-3f9a1c.jsonl              what the run has written
    _unfinished/completions-...                            what no reader should read
    report.html, report.json, _SUCCESS                     the end of a complete run

A run is one start of the program. Its id sorts by time. Files with names of another form belong
to the user.
"""

from __future__ import annotations

import re
import secrets
import time

KINDS = ("completions", "failed-rows", "failed-calls", "deltas", "records")
REPORT = "report.json"
PAGE = "report.html"
SUCCESS = "_SUCCESS"
MANIFEST = "_manifest"
UNFINISHED = "_unfinished"

_RUN = r"\d{8}T\d{9}-[0-9a-f]{6}"
_SHARD = re.compile(rf"({'|'.join(KINDS)})-({_RUN})-[0-9a-f]{{5,32}}\.(?:jsonl|parquet|csv)")
_PIECE = re.compile(rf"({_RUN})(?:\.[0-9a-f]+)?\.jsonl")


def new_run(after: str = "") -> str:
    """Return an id for a run that starts now; it sorts after the run `after`."""
    now = time.time()
    stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}{int(now * 1000) % 1000:03d}"
    if stamp <= (last := after.partition("-")[0]):  # the clock was set back
        day, _, clock = last.partition("T")
        stamp = f"{day}T{min(int(clock) + 1, 999_999_999):09d}"
    return f"{stamp}-{secrets.token_hex(3)}"


def shard_name(kind: str, run: str, shard: str, suffix: str) -> str:
    """Return the name of a shard's file; `shard` is a number or a token in hex."""
    return f"{kind}-{run}-{shard}{suffix}"


def kind_and_run(name: str) -> tuple[str, str] | None:
    """Return the kind and the run of a shard from its file name, None for another file."""
    found = _SHARD.fullmatch(name)
    return (found[1], found[2]) if found else None


def run_of_piece(name: str) -> str | None:
    """Return the run of a file in the manifest, None for another file."""
    found = _PIECE.fullmatch(name)
    return found[1] if found else None
