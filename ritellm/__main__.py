"""`python -m ritellm`: what can be asked of the client from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand in `argv`; returns the exit status, 2 for a command that is none."""
    parser = _Parser(prog="python -m ritellm", description="A streaming client for many models.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    providers = commands.add_parser("providers", help="list the providers")
    providers.add_argument("--markdown", action="store_true", help="as docs/providers.md")
    providers.set_defaults(run=_providers)
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help()
        return 0
    args.run(args)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what is wrong in one line."""
        self.exit(2, f"{self.prog}: {message}\n")


def _providers(args: argparse.Namespace) -> None:
    from ritellm.listing import as_markdown, as_text

    print(as_markdown() if args.markdown else as_text())


if __name__ == "__main__":
    sys.exit(main())
