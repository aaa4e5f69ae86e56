"""Proxies and trusted certificates in the environment: what they apply to, and wrong ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import traceback

import pytest
from fake_server import chat_stream

from ritellm import AsyncClient, Client
from ritellm.errors import InvalidRequestError
from ritellm.transports.settings import is_loopback, trust

HI = [{"role": "user", "content": "hello"}]
PASSWORD = "hunter2-planted"
VARIABLES = "http_proxy https_proxy all_proxy no_proxy".split()


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    trust.cache_clear()
    yield
    trust.cache_clear()


def sync_call(url):
    with Client(num_retries=0) as client:
        return client.completion("openai/m", HI, base_url=url, api_key="k")


def async_call(url):
    async def call():
        async with AsyncClient(num_retries=0) as client:
            return await client.completion("openai/m", HI, base_url=url, api_key="k")

    return asyncio.run(call())


FACES = pytest.mark.parametrize("call", [sync_call, async_call])


@FACES
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_on_this_machine_is_reached_without_a_proxy(
    call, name, host, monkeypatch, fake_server
):
    fake_server.script = lambda request: chat_stream("here")
    # Nothing listens there: a request that takes the proxy fails.
    monkeypatch.setenv(name, f"http://me:{PASSWORD}@127.0.0.1:1")
    call(fake_server.base_url.replace("127.0.0.1", host))
    assert len(fake_server.requests) == 1


@FACES
def test_a_server_elsewhere_is_reached_through_the_proxy(call, monkeypatch, fake_server):
    fake_server.script = lambda request: chat_stream("by proxy")
    monkeypatch.setenv("HTTP_PROXY", fake_server.base_url.removesuffix("/v1"))
    call("http://elsewhere.example/v1")
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1")),
        *((host, True) for host in ("127.9.9.9", "127.1", "[::1]", "::1", "0.0.0.0")),
        *((host, True) for host in ("::ffff:127.0.0.1", "2130706433")),
        *((host, False) for host in ("localhost.example", "10.0.0.1", "api.example", "1.2")),
        *((host, False) for host in ("", "[::2]", "127.0.0.1.example", "xn--")),
    ],
)
def test_which_hosts_are_this_machine(host, expected):
    assert is_loopback(host) is expected


WRONG_PROXIES = {
    "HTTP_PROXY": [
        f"nonsense://me:{PASSWORD}@proxy:1",
        f"http://me:{PASSWORD}@proxy:port",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@",
        f"me:{PASSWORD}@proxy:99999",
    ],
    "https_proxy": [f"ftp://me:{PASSWORD}@proxy"],
    "ALL_PROXY": [f"socks5://me:{PASSWORD}@proxy:1080", f"socks4://me:{PASSWORD}@proxy"],
}


@FACES
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_PROXIES.items() for value in values]
)
def test_a_wrong_proxy_is_one_error_with_its_variable(call, name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequestError, match=f"{name} (must|needs)") as caught:
        call("http://elsewhere.example/v1")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@FACES
@pytest.mark.parametrize("value", ["nonsense://proxy", "socks5://proxy"])
def test_a_server_on_this_machine_is_reached_in_spite_of_a_wrong_proxy(
    call, value, monkeypatch, fake_server
):
    fake_server.script = lambda request: chat_stream("here")
    monkeypatch.setenv("ALL_PROXY", value)
    call(fake_server.base_url)
    assert len(fake_server.requests) == 1


@FACES
@pytest.mark.parametrize("proxies", [{}, {"no_proxy": "*"}], ids=["direct", "httpx"])
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder"])
def test_a_wrong_file_of_certificates_is_one_error_with_its_variable(
    call, proxies, kind, monkeypatch, tmp_path, fake_server
):
    path = tmp_path / "certificates.pem"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "no certificates\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequestError, match=r"SSL_CERT_FILE must be a file of certificates"):
        call(fake_server.base_url.replace("http://", "https://"))


@FACES
def test_a_missing_folder_of_certificates_is_one_error(call, monkeypatch, fake_server, tmp_path):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(InvalidRequestError, match="SSL_CERT_DIR must be a folder of certificates"):
        call(fake_server.base_url.replace("http://", "https://"))


def test_the_command_line_reports_a_wrong_proxy_in_one_line():
    environ = {**os.environ, "HTTP_PROXY": f"nonsense://me:{PASSWORD}@proxy", "OPENAI_API_KEY": "k"}
    argv = [sys.executable, "-m", "ritellm", "hello", "--model", "openai/m"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "HTTP_PROXY must begin with http://" in done.stderr
    assert done.stderr.count("\n") == 1
    assert PASSWORD not in done.stderr
