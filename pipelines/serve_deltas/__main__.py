"""Serves the deltas that a job publishes to Redis.

python -m pipelines.serve_deltas --from redis://localhost/0 --listen 127.0.0.1:8080
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.cli.parser import Parser, add_version, positive, program
from pipelines.errors import UsageError
from pipelines.imports import importing
from pipelines.serve_deltas import tokens
from pipelines.shutdown import run_program

if TYPE_CHECKING:
    from pipelines.serve_deltas.server import Server
    from pipelines.serve_deltas.stores.redis import RedisStore

_EXTRA = "serve_deltas needs its extra: pip install 'ritellm-beam[serve]'"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
        "--may_stop", action="store_true", help="let the token of --sign stop the stream, too"
    )
    access.add_argument(
        "--valid_seconds",
        type=positive,
        default=3600,
        metavar="SECONDS",
        help="how long the token of --sign is valid (default: %(default)s)",
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


class Program:
    """One run of the program, which `stop` ends in an orderly way."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._server: Server | None = None

    def run(self) -> int:
        """Serve until `stop`; return the exit status: 0, or 2 for wrong usage."""
        known_args = parser().parse_args(list(self._argv))
        secret = _secret(known_args.secret_env)
        if known_args.sign is not None or known_args.sign_all:
            return _print_token(known_args, secret)
        host, port = _address(known_args.listen)
        if host not in _LOOPBACK and secret is None:
            raise UsageError(
                f"--listen {known_args.listen} lets other machines read: it needs --secret_env"
            )
        with importing("serve_deltas"):
            try:
                from pipelines.serve_deltas import server
                from pipelines.serve_deltas.access import Access
                from pipelines.serve_deltas.app import Bounds, Door
            except ImportError as error:
                raise UsageError(f"{_EXTRA} ({error})") from None
        bounds = Bounds(
            wait_seconds=known_args.wait_seconds,
            patience=known_args.patience,
            max_readers=known_args.max_readers,
            max_per_stream=known_args.max_per_stream,
        )

        async def serve() -> None:
            door = Door(_store(known_args.source), Access(secret, known_args.allow_origin), bounds)
            with server.listen(host, port) as listener:
                self._server = server.Server(door, listener)
                bound = listener.getsockname()[1]
                await self._server.serve_until_stopped(lambda: _announce(host, bound))

        from pipelines.serve_deltas.stores.base import StoreUnavailable

        try:
            asyncio.run(serve())
        except StoreUnavailable as error:
            raise UsageError(f"--from: {error}") from None
        return 0

    def stop(self) -> bool:
        """Let the readers end; return False before there are any."""
        if self._server is None:
            return False
        self._server.stop()
        return True


def _store(source: str) -> RedisStore:
    from pipelines.serve_deltas.stores.redis import RedisStore
    from transforms.connections.redis import RedisUnavailable

    if source.partition("://")[0] not in ("redis", "rediss", "unix"):
        raise UsageError(f"--from must be redis://HOST/DB, rediss:// or unix://, got {source!r}")
    try:
        return RedisStore(source)
    except (ValueError, RedisUnavailable) as error:
        raise UsageError(f"--from {error}") from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--listen must be HOST:PORT, got {text!r}")
    return host, int(port)


def _secret(variable: str | None) -> bytes | None:
    if variable is None:
        return None
    secret = os.environ.get(variable, "").encode()
    if len(secret) < tokens.LEAST_SECRET:
        raise UsageError(
            f"--secret_env: the variable {variable} must hold at least {tokens.LEAST_SECRET} bytes,"
            " such as those of `openssl rand -hex 32`"
        )
    return secret


def _print_token(known_args: argparse.Namespace, secret: bytes | None) -> int:
    if secret is None:
        raise UsageError("--sign needs --secret_env")
    if known_args.sign is not None and known_args.sign_all:
        raise UsageError("--sign and --sign_all print one token: leave one of them out")
    expires = int(time.time()) + known_args.valid_seconds
    print(tokens.sign(secret, known_args.sign, expires, may_stop=known_args.may_stop))
    return 0


def _announce(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    print(f"page:    http://{shown}:{port}/")
    print(f"answers: http://{shown}:{port}/streams/ID", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve, and exit."""
    program = Program(sys.argv[1:] if argv is None else argv)
    run_program("serve_deltas", program.run, lambda: "the streams stay in Redis", program.stop)


if __name__ == "__main__":
    main()
