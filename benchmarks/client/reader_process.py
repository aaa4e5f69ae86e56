"""Runs each reader in a process of its own, so no reader benefits from what another has loaded.

The separation matters. asyncio's own sockets request a buffer of 256 KiB for each read. In a
process that has freed such a buffer before, malloc has it ready. In a new process malloc maps one
for each read, and a bare reader of 500 streams costs twice as much.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks import ROOT


class Reading(NamedTuple):
    """The chunks that a reader read, and their cost."""

    chunks: int
    cpu_seconds: float
    wall_seconds: float
    peak_mb: float = 0.0

    @property
    def usec_per_chunk(self) -> float:
        """CPU time per chunk."""
        return self.cpu_seconds / self.chunks * 1e6


Read = Callable[..., Reading]


def read(module: str, name: str, python: str = sys.executable, **arguments: Any) -> Reading:
    """Return the cost of the reader `name` of `module`, run by `python` in its own process."""
    command = [python, "-m", module, "--read", name, "--arguments", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
    return Reading(**json.loads(done.stdout.splitlines()[-1]))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags with which `read` runs a module."""
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)


def report(options: argparse.Namespace, readers: Mapping[str, Read]) -> bool:
    """If `read` started this process, run the reader and print its cost; return whether it did."""
    if options.read is None:
        return False
    reading = readers[options.read](**options.arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(reading._replace(peak_mb=peak)._asdict()))
    return True
