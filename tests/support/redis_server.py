"""A Redis server of a test's own, on a socket in a folder of its own; it can die and come back."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class RedisServer:
    """Debian's redis-server; what it has confirmed is on disk."""

    def __init__(self, folder: str) -> None:
        self.url, self._folder = f"unix://{folder}/redis.sock", folder
        self._command = [
            *("redis-server", "--port", "0", "--unixsocket", f"{folder}/redis.sock"),
            *("--dir", folder, "--appendonly", "yes", "--save", ""),
            # By default a write waits up to two seconds, in the server, for a slow disk.
            *("--appendfsync", "always"),
        ]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start; returns when it accepts connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        lines = iter(self._process.stdout.readline, "")
        assert any("ready to accept connections" in line.lower() for line in lines)

    def kill(self) -> None:
        """Die at once; a dead server stays dead."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def lose_all(self) -> None:
        """Die, and come back with nothing: what a server without persistence does."""
        self.kill()
        shutil.rmtree(f"{self._folder}/appendonlydir")
        self.start()


@contextmanager
def running() -> Iterator[RedisServer]:
    """Run a server; skips the test where there is none to run, or no client."""
    pytest.importorskip("redis", reason="the redis client is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:  # sockets need short paths
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
