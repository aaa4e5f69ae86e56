"""Runs the fuzzer over all targets, or over those that are named.

    cd tests && python -m fuzz [--seconds 60] [--seed 1] [TARGET ...]

With `--seed`, the inputs are the same each time, so that a change is judged and not luck.
What is found goes into tests/fuzz/corpus/TARGET/; the status is 1 then.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback

from fuzz.search import Found, find
from fuzz.target import CORPUS
from fuzz.targets import TARGETS


def main() -> int:
    """Return the status of the program."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--seconds", type=float, default=60.0, help="of all targets together")
    parser.add_argument("--seed", type=int, help="of the changes, which differ each time without")
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[[], *TARGETS])
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    seed = time.time_ns() if arguments.seed is None else arguments.seed
    print(f"Fuzzing {len(names)} targets for {arguments.seconds:g} s ...", flush=True)
    failed = 0
    for name in names:
        if found := find(TARGETS[name], seconds=arguments.seconds / len(names), first=seed):
            failed += 1
            _report(name, found)
    return 1 if failed else 0


def _report(name: str, found: Found) -> None:
    digest = hashlib.sha256(found.data).hexdigest()[:12]
    path = CORPUS / name / f"{digest}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(found.data)
    print(f"\n{name} fails for {found.data[:2000]!r}", file=sys.stderr)
    traceback.print_exception(found.error, limit=-8)
    print(
        f"Kept as {path.relative_to(CORPUS.parents[2])}: fix the fault and commit the file;"
        " test_fuzz.py runs it.",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
