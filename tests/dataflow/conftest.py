"""Google's services on loopback, one of each for a module."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from submitting import storage


@pytest.fixture(scope="module")
def google() -> Iterator[SimpleNamespace]:
    """A storage emulator: its `host`, and a `bucket`."""
    if find_spec("gcp_storage_emulator") is None or find_spec("apache_beam.internal.gcp") is None:
        pytest.skip("gcp-storage-emulator is not installed")
    for client in ("dataflow_v1beta3", "secretmanager"):
        pytest.importorskip(f"google.cloud.{client}", reason="apache-beam[gcp] is not installed")
    with storage() as services:
        yield services
