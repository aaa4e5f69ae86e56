"""`python -m ritellm`: the commands of the client for a terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ritellm.cli.stdout import quietly
from ritellm.suggest import did_you_mean, nearest
from ritellm.terminal import clean
from ritellm.version import __version__

INTERRUPTED = 130

# The console script that an installation has; without one the module is the program.
_SCRIPT, _MODULE = "ritellm", "python -m ritellm"

_COMMANDS = """\
other commands:
  {program} models [TEXT]      list models and their prices
  {program} providers          list the providers
  {program} replay PATH        replay a file that --record has written
  {program} help [COMMAND]     print this text, or that of a command

exit status: 0 done, 1 failed, 2 invalid arguments (nothing was sent),
3 invalid key, 4 request rejected by the provider, 5 rate limit, 6 timeout,
7 connection failure, 8 provider failure, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`; returns the exit status, 2 for an unknown command."""
    return quietly(lambda: _main(argv))


def _program() -> str:
    return _SCRIPT if Path(sys.argv[0] or "").stem == _SCRIPT else _MODULE


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"] and len(words) <= 2:
        if not set(words[1:]) <= _PARSERS.keys():
            commands = ", ".join(_PARSERS)
            _completing().error(f"no command {words[1]!r}: the commands are {commands}")
        words = [*words[1:], "--help"]
    if not words and (sys.stdin is None or sys.stdin.isatty()):
        _completing().print_help()
        return 0
    command = words[0] if words else ""
    parser = _PARSERS.get(command, _completing)()
    near = nearest(command, _PARSERS, 0.8) if len(words) == 1 else None
    if near and near != command:
        parser.error(f"did you mean {near}? To send it as a prompt, add --model")
    args, left = parser.parse_known_args(words[1:] if command in _PARSERS else words)
    if left:
        parser.error(_unrecognized(left[0], parser))
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    """Return the exit status of the command. Ctrl-C and a full disk print no traceback."""
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("ritellm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        print(clean(f"ritellm: {error}"), file=sys.stderr)
        return 1
    return status


def _unrecognized(word: str, parser: argparse.ArgumentParser) -> str:
    """Return the error for an unknown argument."""
    if not word.startswith("-"):
        quote = ": put the prompt in quotes" if parser.get_default("run") is _complete else ""
        return f"unexpected argument {word!r}{quote}"
    hint = did_you_mean(word.partition("=")[0], parser._option_string_actions, 0.7)
    return f"unknown option {word}{hint or ', see --help'}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Print the error in one line, and exit."""
        self.exit(2, clean(f"{self.prog}: {message}\n"))


def _completing() -> argparse.ArgumentParser:
    program = _program()
    parser = _Parser(
        prog=program,
        description="Send a prompt to a language model and print its answer as it arrives.",
        epilog=_COMMANDS.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prompt = "the prompt; text on stdin comes before it. Without one, or with -, stdin alone"
    parser.add_argument("prompt", nargs="?", help=prompt)
    default = os.environ.get("RITELLM_MODEL") or "local/gemma-3-270m"
    model = f"PROVIDER/MODEL (default: $RITELLM_MODEL or else {default.replace('%', '%%')})"
    parser.add_argument("--model", "-m", default=default, help=model)
    parser.add_argument("--system", "-s", metavar="TEXT", help="a system prompt")
    _add_params(parser)
    parser.add_argument(
        "--no-stream", action="store_true", help="print the whole answer at its end"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print chunks, or the completion, as JSON",
    )
    parser.add_argument("--record", metavar="PATH", help="record to this file, without keys")
    parser.add_argument("--version", action="version", version=f"ritellm {__version__}")
    parser.set_defaults(run=_complete)
    return parser


def _add_params(parser: argparse.ArgumentParser) -> None:
    """Add the parameters of the request; without them the provider decides."""
    parser.add_argument("--temperature", type=float, metavar="X", help="0 for the likeliest answer")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="the longest answer, in tokens")
    schema = "a JSON Schema that the answer must have: a file, or the JSON itself"
    parser.add_argument("--schema", metavar="FILE|JSON", help=schema)


def _replaying() -> argparse.ArgumentParser:
    parser = _Parser(prog=f"{_program()} replay", description="Replay a recording.")
    parser.add_argument("path", help="a file that --record has written; PATH#2: its second call")
    parser.add_argument("--timing", action="store_true", help="replay at the recorded pace")
    parser.add_argument("--json", action="store_true", help="print chunks as JSON lines")
    parser.set_defaults(run=_replay)
    return parser


def _listing() -> argparse.ArgumentParser:
    parser = _Parser(prog=f"{_program()} providers", description="List the providers.")
    parser.add_argument("--markdown", action="store_true", help="print docs/providers.md")
    parser.set_defaults(run=_providers)
    return parser


def _pricing() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{_program()} models",
        description="List the models whose prices are known. Other models work as well.",
    )
    parser.add_argument("text", nargs="?", default="", help="list only names with this text")
    parser.set_defaults(run=_models)
    return parser


_PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "models": _pricing,
    "providers": _listing,
    "replay": _replaying,
}


def _complete(args: argparse.Namespace) -> int:
    from ritellm.cli.complete import complete

    return complete(args)


def _replay(args: argparse.Namespace) -> int:
    from ritellm.cli.complete import replay

    return replay(args)


def _models(args: argparse.Namespace) -> int:
    from ritellm.cli.models import as_text

    listed = as_text(args.text)
    if not listed:
        print(clean(f"ritellm: no known model has {args.text!r} in its name"), file=sys.stderr)
        return 1
    print(listed)
    return 0


def _providers(args: argparse.Namespace) -> int:
    from ritellm.cli.providers import as_markdown, as_text

    print(as_markdown() if args.markdown else as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
