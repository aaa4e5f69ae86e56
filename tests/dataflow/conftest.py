"""Google's services on loopback, one of each for a module."""

from __future__ import annotations

import warnings
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


@pytest.fixture
def refused(google, monkeypatch, capfd):
    """Return a function that runs a program's `main` here: exit status, and its last line.

    Made for what ends before anything is submitted, without a process for each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import without_google
    for thing, name, value in without_google.INSTEAD:
        monkeypatch.setattr(thing, name, value)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.host)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(main, *argv):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SystemExit) as end:
                main(argv)
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return end.value.code, said.err.strip().splitlines()[-1]

    return run
