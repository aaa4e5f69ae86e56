"""Secrets are masked in any spelling, wherever a stream is cut, and in any address."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ritellm
from ritellm.masking import (
    KEY,
    REMOVED,
    Masker,
    header_secrets,
    masked_url,
    proxy_secrets,
    url_secrets,
    without,
)

SECRET = "pl/nted+s3cret=é"
SPELLINGS = {
    "as it is": SECRET,
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON with escaped slashes": SECRET.replace("/", "\\/"),
    "JSON in JSON": json.dumps(json.dumps(SECRET)).strip('"\\'),
    "JSON, all escaped": "".join(f"\\u{ord(c):04x}" for c in SECRET),
    "JSON in capitals": "".join(f"\\u{ord(c):04X}" for c in SECRET),
    "JSON in JSON, all escaped": "".join(f"\\\\u{ord(c):04x}" for c in SECRET),
    "Python": "".join(f"\\x{ord(c):02x}" if c == "/" else c for c in SECRET),
    "a URL": quote(SECRET, safe=""),
    "a URL in small letters": SECRET.replace("/", "%2f").replace("+", "%2b"),
    "a URL in a URL": quote(quote(SECRET, safe=""), safe=""),
    "HTML": html.escape(SECRET).replace("+", "&#43;"),
    "HTML, hexadecimal": "".join(f"&#x{ord(c):x};" for c in SECRET),
    "HTML in HTML": "".join(f"&amp;#{ord(c)};" for c in SECRET),
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_in_every_spelling(spelled):
    assert Masker([SECRET]).text(f"wrong key: {spelled}, try again") == (
        f"wrong key: {KEY}, try again"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_wherever_the_bytes_are_cut(spelled, size):
    whole, masker = f'{{"a": "{spelled}"}} \\n {spelled}!'.encode(), Masker([SECRET], REMOVED)
    shown = b"".join(masker.feed(whole[n : n + size]) for n in range(0, len(whole), size))
    assert shown + masker.end() == f'{{"a": "{REMOVED}"}} \\n {REMOVED}!'.encode()


ODD = st.lists(
    st.sampled_from([b"\\", b"u00", b"2", b"f", b"%", b"25", b"&", b"amp;", b"#", b"47;", b"x"])
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


@given(ODD, st.integers(1, 9))
def test_data_without_the_secret_comes_back_unchanged(data, size):
    masker = Masker(["pl/nted-s3cret"])
    shown = b"".join(masker.feed(data[n : n + size]) for n in range(0, len(data), size))
    assert shown + masker.end() == data == masker.data(data)


@given(st.lists(st.binary(max_size=6), max_size=12), st.integers(1, 30))
def test_a_secret_that_repeats_its_beginning_is_masked(noise, size):
    secret = b"abcabcad"
    whole, masker = secret.join(noise), Masker([secret.decode()])
    shown = b"".join(masker.feed(whole[n : n + size]) for n in range(0, len(whole), size))
    assert secret not in shown + masker.end()


def test_a_secret_with_escapes_of_its_own_is_masked():
    for text in ("a%41b\\ncdefgh", "a%2541b\\ncdefgh", "aAb\\ncdefgh"):
        assert Masker(["a%41b\\ncdefgh"]).text(f"<{text}>") == f"<{KEY}>"


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ("k", "Token limit, k?", f"Token limit, {KEY}?"),
        ("hunter2", "no hunter2, hunter22", f"no {KEY}, hunter22"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_short_secret_is_masked_as_a_whole_word(secret, text, masked):
    assert without([secret], text) == masked


# Addresses

MASKED = {
    "https://api.example/v1": "https://api.example/v1",
    "https://api.example:8443/v1?api-version=2024-10-21": None,
    "https://me:hunter2@api.example/v1": "https://api.example/v1",
    "https://sk-token@api.example": "https://api.example",
    "https://me:p/ss?w#rd@api.example/v1": "https://api.example/v1",
    "https://me:p@ss@api.example/v1": "https://api.example/v1",
    "me:hunter2@api.example": "api.example",
    "socks5://me:hunter2@proxy:1080": "socks5://proxy:1080",
    "https://api.example/v1?code=c0de&api-version=1": (
        f"https://api.example/v1?code={REMOVED}&api-version=1"
    ),
    "https://api.example/?s3cret": f"https://api.example/?{REMOVED}",
    "https://api.example/?s3cret==": f"https://api.example/?{REMOVED}",
    "https://api.example/v1#s3cret": "https://api.example/v1",
    "https://api.example/models/claude@20250101:predict": None,
    "http://[::1]:80/v1": None,
    "http://[::1": None,
    "": None,
}


@pytest.mark.parametrize(("url", "masked"), MASKED.items())
def test_an_address_is_shown_without_its_secrets(url, masked):
    assert masked_url(url) == (url if masked is None else masked)


def test_the_secrets_of_an_address_are_its_password_and_its_query():
    url = "https://me:p%40ssword@api.example/v1?code=c%2Fde&api-version=1"
    assert url_secrets(url) == ("p%40ssword", "p@ssword", "bWU6cEBzc3dvcmQ=", "c%2Fde", "c/de")
    assert url_secrets("https://api.example/v1") == ()


def test_the_secrets_of_headers_are_their_credentials():
    headers = {"Authorization": "Basic bWU6cEBzc3dvcmQ=", "x-team": "blue", "X-Api-Key": "k3y"}
    assert header_secrets(headers) == (
        "Basic bWU6cEBzc3dvcmQ=",
        "bWU6cEBzc3dvcmQ=",
        "me:p@ssword",
        "p@ssword",
        "k3y",
    )
    assert header_secrets({"authorization": "Basic ?"}) == ("Basic ?",)


def test_a_proxy_has_secrets_too():
    environ = {"HTTPS_PROXY": "http://me:hunter22@proxy:1", "http_proxy": "http://proxy:2"}
    assert proxy_secrets(environ)[0] == "hunter22"
    assert proxy_secrets({}) == ()


@given(st.text(alphabet="ab:/@?#[]&=%1", max_size=25))
def test_no_address_raises(url):
    masked_url(url)
    url_secrets(url)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "broken JSON: b'{\"wrong key\": sk-planted-01'",
            f"broken JSON: b'{{\"wrong key\": {KEY}'",
        ),
        ("it ends in sk-plant", f"it ends in {KEY}"),
        ("it ends in sk-plan", "it ends in sk-plan"),  # seven characters tell little
        ("sk-plant... sk-planted-0123456789", f"{KEY}... {KEY}"),
        ("sk-planted-9876 is another", "sk-planted-9876 is another"),
        ("keys of sk-planting are trees", "keys of sk-planting are trees"),
    ],
)
def test_the_beginning_of_a_secret_is_masked_where_a_text_was_cut(text, masked):
    assert without(["sk-planted-0123456789", ""], text) == masked


@pytest.mark.parametrize("before", range(160, 200, 3))
def test_an_error_that_shows_the_first_bytes_shows_no_part_of_the_key(before):
    secret = "sk-planted-0123456789abcdef"

    def send(request):
        body = b'{"error": "' + b"x" * before + b" " + secret.encode()
        return httpx.Response(401, content=body + b" is wrong", headers={"x-request-id": "1"})

    def stream(request):
        head = {"content-type": "text/event-stream"}
        junk = b"x" * (before - 8) + b" " + secret.encode()
        return httpx.Response(200, content=b'data: {"a": ' + junk + b"\n\n", headers=head)

    for answer in (send, stream):
        with ritellm.Client(transport=httpx.MockTransport(answer), num_retries=0) as client:
            messages = [{"role": "user", "content": "hi"}]
            with pytest.raises(ritellm.RitellmError) as raised:
                client.completion("openai/m", messages, api_key=secret, stream=True).read()
        assert "sk-plant" not in str(raised.value)
