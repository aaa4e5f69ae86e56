"""The Pub/Sub emulator of the gcloud SDK. What it holds is gone when it dies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import Server, free_port

JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"


def jar() -> Path:
    """Return the emulator's jar; skips the test where it is not installed."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("the gcloud SDK is not installed")
    found = sorted(Path(gcloud).resolve().parents[1].glob(JAR))
    if not found:
        pytest.skip("gcloud's component pubsub-emulator is not installed")
    return found[-1]


@contextmanager
def running() -> Iterator[Server]:
    """Run an emulator; skips the test where there is none to run."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed")
    port = free_port()
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-jar", str(jar())]
    with tempfile.TemporaryDirectory(prefix="pubsub-") as folder:
        command = [*java, "--host=127.0.0.1", f"--port={port}"]
        emulator = Server(command, port, Path(folder, "log"))
        try:
            emulator.start()
            yield emulator
        finally:
            emulator.kill()
