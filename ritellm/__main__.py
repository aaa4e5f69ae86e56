"""`python -m ritellm`: what can be asked of the client from a terminal."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence

_COMMANDS = """\
other commands:
  python -m ritellm providers       list the providers
  python -m ritellm replay PATH     play what --record has written

exit status: 0 done, 1 failed, 2 the call is wrong (nothing was sent), 3 the key, 4 the provider
rejects the request, 5 rate limit, 6 timeout, 7 connection, 8 the provider's fault, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`; returns the exit status, 2 for a command that is none."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        _asking().print_help()
        return 0
    parser = _PARSERS.get(words[0], _asking)()
    near = difflib.get_close_matches(words[0], _PARSERS, 1, 0.8) if len(words) == 1 else []
    if near and near[0] != words[0]:
        parser.error(f"did you mean {near[0]}? To ask it, add --model")
    args = parser.parse_args(words[1:] if words[0] in _PARSERS else words)
    status: int = args.run(args)
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what is wrong in one line."""
        self.exit(2, f"{self.prog}: {message}\n")


def _asking() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ritellm",
        description="Ask a language model, and see its answer as it comes.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", nargs="?", help="what to ask; from stdin if it is - or missing")
    default = os.environ.get("RITELLM_MODEL") or "local/gemma-3-270m"
    model = f"PROVIDER/MODEL; $RITELLM_MODEL, or else {default.replace('%', '%%')}"
    parser.add_argument("--model", "-m", default=default, help=model)
    parser.add_argument("--system", metavar="TEXT", help="a system prompt")
    parser.add_argument("--no-stream", action="store_true", help="show the answer once it is whole")
    parser.add_argument("--json", action="store_true", help="chunks as JSON lines, or the answer")
    parser.add_argument("--record", metavar="PATH", help="write the raw wire there, without keys")
    parser.set_defaults(run=_ask)
    return parser


def _replaying() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ritellm replay", description="Play a recording.")
    parser.add_argument("path", help="what --record has written; PATH#2 is its second call")
    parser.add_argument("--timing", action="store_true", help="in its own time")
    parser.add_argument("--json", action="store_true", help="chunks as JSON lines")
    parser.set_defaults(run=_replay)
    return parser


def _listing() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ritellm providers", description="List the providers.")
    parser.add_argument("--markdown", action="store_true", help="as docs/providers.md")
    parser.set_defaults(run=_providers)
    return parser


_PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "providers": _listing,
    "replay": _replaying,
}


def _ask(args: argparse.Namespace) -> int:
    from ritellm.terminal import ask

    return ask(args)


def _replay(args: argparse.Namespace) -> int:
    from ritellm.terminal import replay

    return replay(args)


def _providers(args: argparse.Namespace) -> int:
    from ritellm.listing import as_markdown, as_text

    print(as_markdown() if args.markdown else as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
