"""`python -m ritellm.dropin PROGRAM`: run a Python program with ritellm in place of litellm."""

from __future__ import annotations

import runpy
import sys

from ritellm.dropin import install

USAGE = """\
usage: python -m ritellm.dropin FILE.py [ARGUMENT...]
       python -m ritellm.dropin -m MODULE [ARGUMENT...]

Runs a program that imports litellm with ritellm in its place."""


def main(arguments: list[str]) -> None:
    """Run the program that `arguments` name; exits with 2 if they name none."""
    as_module = arguments[:1] == ["-m"]
    program = arguments[as_module:]
    if not program or program[0].startswith("-"):
        sys.exit(_usage(wanted=program[:1] in (["-h"], ["--help"])))
    install()
    sys.argv = program
    if as_module:
        sys.path.insert(0, "")
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program[0], run_name="__main__")


def _usage(wanted: bool) -> int:
    print(USAGE, file=sys.stdout if wanted else sys.stderr)
    return 0 if wanted else 2


if __name__ == "__main__":
    main(sys.argv[1:])
