"""Keys, and secrets in addresses: where they are sent, and where they are never shown."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback

import pytest
from fake_server import FakeServer, api_error, chat_events, raw, sse_error, stream

import ritellm
from ritellm import Client
from ritellm.calls.prepare import plan
from ritellm.errors import InvalidRequestError, RitellmError

HI = [{"role": "user", "content": "hello"}]
KEY = "sk-planted-0123456789"
PASSWORD = "hunter2-planted"
CODE = "c0de/planted=="
SECRETS = (KEY, PASSWORD, CODE, "planted", "c0de")


def with_secrets(base_url):
    return f"{base_url.replace('://', f'://me:{PASSWORD}@')}?code={CODE}"


def shown(error):
    """Return all that a program may print or keep of `error`."""
    trace = "".join(traceback.format_exception(error))
    rest = (str(error), repr(error), error.message, error.code, error.args, vars(error))
    return trace + repr(rest) + repr(pickle.dumps(error))


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


# Where a secret may come back from


def echo(request):
    told = " ".join([*request.headers.values(), *request.query.values()])
    return api_error(401, message=f"not for {told.replace('/', chr(92) + '/')}", code=told)


WAYS = {
    "refused": echo,
    "broken off": lambda request: stream(*chat_events("x")[:1]),
    "no JSON": lambda request: stream("not JSON: " + request.headers.get("authorization", "")),
}


@pytest.mark.parametrize("script", WAYS.values(), ids=WAYS)
def test_no_secret_of_the_key_or_the_address_is_in_an_error(script, face, fake_server, caplog):
    caplog.set_level(logging.DEBUG)
    fake_server.script = script
    with pytest.raises(RitellmError) as caught:
        face.ask(
            base_url=with_secrets(fake_server.base_url),
            api_key=KEY,
            num_retries=0,
        )
    assert not leaks(shown(caught.value))
    assert not leaks(caplog.text)


def test_a_long_error_is_cut_and_shows_no_part_of_the_key(face, fake_server):
    filler = "%41&amp;" * 8191  # the key lies across the place where the text is cut
    message = filler + KEY + filler * 10
    fake_server.script = lambda request: sse_error(message=message)
    with pytest.raises(RitellmError) as caught:
        face.ask(base_url=fake_server.base_url, api_key=KEY, num_retries=0)
    assert len(caught.value.message) < 70_000
    assert "sk-pl" not in caught.value.message


def told_by_proxy(request):
    """Refuse as a careless proxy does, with the credentials that it got."""
    return api_error(407, message=f"not for {request.headers.get('proxy-authorization')}")


@pytest.mark.parametrize("is_there", [True, False])
def test_no_secret_of_a_proxy_is_in_an_error(is_there, fake_server, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    fake_server.script = told_by_proxy
    address = fake_server.base_url.removesuffix("/v1") if is_there else "http://127.0.0.1:1"
    for name in ("HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, address.replace("://", f"://me:{PASSWORD}@"))
    encoded = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    for scheme in ("http", "https"):
        with Client(num_retries=0) as client, pytest.raises(RitellmError) as caught:
            client.completion("openai/m", HI, base_url=f"{scheme}://far.example", api_key=KEY)
        for text in (shown(caught.value), caplog.text):
            assert not leaks(text)
            assert encoded not in text
    if is_there:
        assert f"Basic {encoded}" in fake_server.requests[0].headers["proxy-authorization"]


BAD_ADDRESSES = [
    f"ftp://me:{PASSWORD}@host/v1",
    f"me:{PASSWORD}@host/v1",
    f"http://me:{PASSWORD}@host:port/v1?code={CODE}",
    f"http://me:{PASSWORD}@?code={CODE}",
    f"http://me:{PASSWORD}@[::1/v1",
    f"http://me:{PASSWORD}@foo..bar/v1?code={CODE}",
    f"http://me:{PASSWORD}@{'a' * 64}.example/v1?code={CODE}",
    f"http://me:{PASSWORD}@xn--/v1?code={CODE}",
    f"http://me:{PASSWORD}@127.0.0.1:1/v1?code={CODE}",
    f"http://me:{PASSWORD}@127.0.0.1:1/v1?{CODE}",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_no_secret_is_in_the_error_about_an_address(address, face, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RitellmError) as caught:
        face.ask(base_url=address, api_key=KEY, num_retries=0, timeout=5)
    assert not leaks(shown(caught.value))
    assert not leaks(caplog.text)


def test_a_call_that_succeeds_logs_no_secret(face, fake_server, caplog):
    caplog.set_level(logging.DEBUG)
    fake_server.script = lambda request: stream(*chat_events("x"))
    face.ask(base_url=with_secrets(fake_server.base_url), api_key=KEY)
    assert fake_server.requests[0].query["code"] == CODE
    assert not leaks(caplog.text)


def test_a_header_of_the_caller_that_a_server_echoes_is_masked(face, fake_server):
    fake_server.script = echo
    with pytest.raises(RitellmError) as caught:
        face.ask(
            base_url=fake_server.base_url,
            api_key="k",
            extra_headers={"x-gateway-token": KEY},
        )
    assert not leaks(shown(caught.value))


def test_no_secret_is_in_the_repr_of_a_plan():
    planned = plan(
        "azure/d",
        HI,
        {"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy"},
        base_url=f"https://me:{PASSWORD}@host.example/v1?code={CODE}",
        azure_ad_token=KEY,
        extra_headers={"authorization": KEY},
        extra_body={"key": KEY},
    )
    assert not leaks(repr(planned))
    assert "https://host.example/v1" in repr(planned)


# User and password in an address


def test_the_key_counts_before_a_login_in_the_address(face, fake_server):
    address = with_secrets(fake_server.base_url)
    face.ask(base_url=address, api_key=KEY)
    assert fake_server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_login_in_the_address_is_sent_without_a_key(face, fake_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    address = fake_server.base_url.replace("://", "://me:p%40ss@")
    face.ask(base_url=address, api_key=None)
    assert fake_server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


def test_the_callers_own_authorization_counts_before_a_login(face, fake_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    address = fake_server.base_url.replace("://", "://me:p%40ss@")
    face.ask(base_url=address, api_key=None, extra_headers={"Authorization": "Bearer own"})
    assert fake_server.requests[0].headers["authorization"] == "Bearer own"


# A model in the path of an address

IN_A_PATH = {
    "gemini/../x": {"api_key": "k"},
    "vertex_ai/../../other": {"api_key": "k", "vertex_project": "p"},
    "vertex_ai/claude-3/..": {"api_key": "k", "vertex_project": "p"},
    "azure/..": {"api_key": "k", "base_url": "https://r.example", "api_version": "2024-10-21"},
    "bedrock/..": {"api_key": "k", "aws_region_name": "r"},
    "bedrock/./x": {"api_key": "k", "aws_region_name": "r"},
}


@pytest.mark.parametrize(("model", "arguments"), IN_A_PATH.items())
def test_a_model_cannot_lead_out_of_its_place_in_an_address(model, arguments):
    with pytest.raises(InvalidRequestError, match=r"must not contain '\.' or '\.\.'"):
        Client().completion(model, HI, **arguments)


def test_a_model_that_is_not_in_the_address_may_be_a_relative_path(fake_server):
    ritellm.completion("hosted_vllm/../models/m", HI, base_url=fake_server.base_url)
    assert fake_server.requests[0].json["model"] == "../models/m"


# Who gets the key


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status, face, fake_server):
    with FakeServer() as elsewhere:
        location = {"location": f"{elsewhere.base_url}/chat/completions"}
        fake_server.script = lambda request: raw(b"", status=status, headers=location)
        with pytest.raises(RitellmError):
            face.ask(base_url=fake_server.base_url, api_key=KEY, num_retries=0)
        assert len(fake_server.requests) == 1
        assert not elsewhere.requests


def test_a_fallback_at_another_provider_gets_neither_key_nor_address_nor_headers():
    planned = plan(
        "openai/m",
        HI,
        {"GROQ_API_KEY": "groqs"},
        base_url=f"https://me:{PASSWORD}@host.example/v1?code={CODE}",
        api_key=KEY,
        extra_headers={"x-token": KEY},
        extra_body={"key": KEY},
        fallbacks=["groq/m"],
    )
    (fallback,) = planned.fallbacks
    assert fallback.endpoint.key == "groqs"
    assert fallback.endpoint.base_url == "https://api.groq.com/openai/v1"
    assert not fallback.request.extra_headers
    assert not fallback.request.extra_body
    assert fallback.endpoint.login is None
