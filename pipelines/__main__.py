"""Prints which programs the package has: python -m pipelines."""

from __future__ import annotations

import sys

from ritellm.suggest import did_you_mean

PROGRAMS = {
    "batch_complete": "complete the prompts of a dataset; write a folder of completions",
    "results": "print the rows of a batch job that runs, was stopped, or is done",
    "serve_deltas": "serve the token streams of a streaming job to browsers and services",
    "stream_complete": "complete prompts as they arrive; publish the deltas live",
    "watch": "open the page of a batch job that runs, was stopped, or is done",
}


def main(argv: list[str]) -> int:
    """Print the programs; return 2 if `argv` names another one."""
    name = next((arg for arg in argv if not arg.startswith("-")), None)
    if name is not None and name in PROGRAMS:
        print(f"pipelines: run it as python -m pipelines.{name}", file=sys.stderr)
        return 2
    if name is not None:
        hint = did_you_mean(name, PROGRAMS)
        print(f"pipelines: unknown program {name!r}{hint}", file=sys.stderr)
        return 2
    print("The programs, each with --help:\n")
    for program, what in PROGRAMS.items():
        print(f"  python -m pipelines.{program:<16} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
