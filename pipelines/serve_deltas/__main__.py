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

from pipelines.errors import UsageError
from pipelines.imports import importing
from pipelines.serve_deltas import tokens
from pipelines.serve_deltas.flags import parser
from pipelines.shutdown import run_program

if TYPE_CHECKING:
    from pipelines.serve_deltas.server import Server
    from pipelines.serve_deltas.stores.redis import RedisStore

_EXTRA = "serve_deltas needs its extra: pip install 'ritellm-beam[serve]'"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Program:
    """One run of the program, which `stop` ends in an orderly way."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._server: Server | None = None

    def run(self) -> int:
        """Serve until `stop`; return the exit status: 0, or 2 for wrong usage."""
        known_args = parser().parse_args(list(self._argv))
        secret = _secret(known_args.secret_env)
        if known_args.sign is not None or known_args.sign_all or known_args.sign_prompts:
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
                from pipelines.serve_deltas.prompts.flags import prompt_rows, prompts
            except ImportError as error:
                raise UsageError(f"{_EXTRA} ({error})") from None
        bounds = Bounds(
            wait_seconds=known_args.wait_seconds,
            patience=known_args.patience,
            max_readers=known_args.max_readers,
            max_per_stream=known_args.max_per_stream,
        )

        access = Access(secret, known_args.allow_origin)
        rows = prompt_rows(known_args)

        async def serve() -> None:
            store = _store(known_args.source)
            door = Door(store, access, bounds, prompts(known_args, access, rows))
            server.allow_readers(known_args.max_readers)
            with server.listen(host, port) as listener:
                self._server = server.Server(door, listener)
                bound = listener.getsockname()[1]
                await self._server.serve_until_stopped(lambda: _announce(host, bound))

        from pipelines.serve_deltas.prompts.queues.base import QueueUnavailable
        from pipelines.serve_deltas.stores.base import StoreUnavailable

        try:
            asyncio.run(serve())
        except QueueUnavailable as error:
            raise UsageError(f"--prompts_to: {error}") from None
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
    if (known_args.sign is not None) + known_args.sign_all + known_args.sign_prompts > 1:
        raise UsageError("--sign, --sign_all and --sign_prompts print one token: leave one of them")
    if known_args.may_ask and not known_args.sign_all:
        raise UsageError(
            "--may_ask needs --sign_all; --sign_prompts prints a token without reading"
        )
    expires = int(time.time()) + known_args.valid_seconds
    may_stop = known_args.may_stop
    if known_args.sign_prompts or known_args.may_ask:
        may_read = known_args.sign_all
        print(tokens.sign_asker(secret, expires, may_stop=may_stop, may_read=may_read))
    else:
        print(tokens.sign(secret, known_args.sign, expires, may_stop=may_stop))
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
