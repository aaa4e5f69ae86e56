"""Fixtures for tests of the faces."""

from __future__ import annotations

import certifi
import pytest
from faces import (
    AT_ONCE,
    FACES,
    KEY,
)


@pytest.fixture(autouse=True)
def _one_root_certificate(monkeypatch, tmp_path_factory):
    """Reading all of them takes 30 ms for each client, and loopback needs none."""
    one = tmp_path_factory.getbasetemp() / "one.pem"
    if not one.exists():
        end = "-----END CERTIFICATE-----\n"
        with open(certifi.where()) as everyone:
            one.write_text(everyone.read().partition(end)[0] + end)
    monkeypatch.setenv("SSL_CERT_FILE", str(one))


@pytest.fixture(params=FACES.values(), ids=FACES)
def face(request, fake_server):
    """One of the faces, which asks the fake server and does not wait between attempts."""
    made = request.param(base_url=fake_server.base_url, api_key=KEY, retry=AT_ONCE)
    yield made
    made.close()
