"""Google's services on loopback, one of each for a module."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from fake_dataflow import Bucket
from submitting import wait_for


@pytest.fixture(scope="module")
def google() -> Iterator[SimpleNamespace]:
    """A storage emulator: its `host`, and a `bucket`."""
    if find_spec("gcp_storage_emulator") is None or find_spec("apache_beam.internal.gcp") is None:
        pytest.skip("gcp-storage-emulator is not installed")
    for client in ("dataflow_v1beta3", "secretmanager"):
        pytest.importorskip(f"google.cloud.{client}", reason="apache-beam[gcp] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from gcp_storage_emulator.__main__ import main; main()"]
    command += ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    command += ["--default-bucket=bucket"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as emulator:
        host = f"http://127.0.0.1:{port}"
        bucket = Bucket(host, "bucket")
        wait_for(lambda: bucket.names() == [])
        yield SimpleNamespace(host=host, bucket=bucket)
        emulator.terminate()
