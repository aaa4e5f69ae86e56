"""The flags of `serve_deltas`."""

from __future__ import annotations

from pipelines.cli.parser import Parser, add_version, positive, program
from pipelines.serve_deltas.prompts.flags import add_prompts


def parser() -> Parser:
    """Return the command line."""
    made = Parser(
        prog=program("pipelines.serve_deltas"),
        description="Serve the token streams of a job to browsers and services, while they grow."
        " The job publishes them with --deltas_to 'redis://HOST/DB?per_id=true'.",
        epilog="docs/serving.md has the forms of a stream, and what a reader may rely on.",
        allow_abbrev=False,
    )
    add_version(made)
    made.add_argument(
        "--from",
        dest="source",
        default="redis://localhost/0",
        metavar="WHERE",
        help="where the deltas are: redis://HOST/DB, rediss:// or unix://; with key= and"
        " password_env= as in --deltas_to (default: %(default)s)",
    )
    made.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="where to listen; another host than loopback needs --secret_env (default:"
        " %(default)s)",
    )
    _add_access(made)
    _add_bounds(made)
    add_prompts(made)
    return made


def _add_access(made: Parser) -> None:
    access = made.add_argument_group("who may read")
    access.add_argument(
        "--secret_env",
        metavar="NAME",
        help="the environment variable with the secret that signs tokens; each reader then needs a"
        " token for its stream (default: programs and pages of this machine need none)",
    )
    access.add_argument(
        "--allow_origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="an origin whose pages may read, such as https://app.example; repeat it for more",
    )
    access.add_argument("--sign", metavar="ID", help="print a token for the stream of ID, and exit")
    access.add_argument(
        "--sign_all",
        action="store_true",
        help="print a token that lists and reads all streams, as the page at / does, and exit",
    )
    access.add_argument(
        "--sign_prompts",
        action="store_true",
        help="print a token that sends prompts and reads their answers only, and exit",
    )
    access.add_argument(
        "--may_stop", action="store_true", help="let the token stop what it reads, too"
    )
    access.add_argument(
        "--may_ask", action="store_true", help="let the token of --sign_all send prompts, too"
    )
    access.add_argument(
        "--valid_seconds",
        type=positive,
        default=3600,
        metavar="SECONDS",
        help="how long a token is valid (default: %(default)s)",
    )


def _add_bounds(made: Parser) -> None:
    bounds = made.add_argument_group("bounds")
    bounds.add_argument(
        "--wait_seconds",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="how long a reader of an unknown id waits for its first delta, before it gets status"
        " 404 (default: %(default)s)",
    )
    bounds.add_argument(
        "--patience",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="a reader that takes nothing for this long is cut off; it can return with its position"
        " (default: %(default)s)",
    )
    bounds.add_argument(
        "--max_readers",
        type=positive,
        default=10_000,
        metavar="N",
        help="the most readers at once (default: %(default)s)",
    )
    bounds.add_argument(
        "--max_per_stream",
        type=positive,
        default=1_000,
        metavar="N",
        help="the most readers of one stream at once (default: %(default)s)",
    )
