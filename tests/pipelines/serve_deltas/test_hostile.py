"""What strangers send: odd ids, forged tokens, broken requests; and what hostile models write."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import time
from urllib.parse import quote

import orjson
import pytest
from door import Page, answer, serving
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms.sinks.redis import RedisStreams

SECRET = b"a secret of enough bytes"


@pytest.fixture(scope="module")
def server():
    with running() as one:
        yield one


@pytest.fixture(scope="module")
def door(server):
    with serving(server.url, wait_seconds=0.2) as one:
        yield one


@pytest.fixture(scope="module")
def locked(server):
    with serving(server.url, SECRET, wait_seconds=0.2) as one:
        yield one


@pytest.fixture
def publish(server):
    publisher = RedisStreams(f"{server.url}?per_id=true")()
    yield publisher.publish
    publisher.close()


def raw(door, data):
    """Return what the server sends back for the bytes of a request."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


HOSTILE = [
    "\r\n\r\nevent: end\r\ndata: {}\r\n\r\n",
    "data: x\nid: 1\nevent: end\n\n",
    "\x00\x01\x1b[2J\x7f",
    "\u2028\u2029\u0085\ufeff",
    "</script><img src=x onerror=alert(1)>",
    "\u202eevil\u2066",
    "a\rb\nc\r\nd",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_breaks_out_of_no_form(door, publish, text):
    id = f"hostile {HOSTILE.index(text)}"
    publish(answer(id, text, "end"))
    page = Page()
    page.take(door.events(id))
    assert (page.text, page.resets, page.end["outcome"]) == (text + "end", 0, "finished")
    path = f"/streams/{quote(id)}"
    assert door.get(f"{path}?as=text").read().decode() == text + "end"
    for form in ("chat", "ai-sdk"):
        events = door.get(f"{path}?as={form}").read()
        # Each line is one event: no break in the text is one of the stream.
        for line in events.split(b"\n"):
            assert line == b"" or line.startswith(b"data: ")
        assert b"\r" not in events
    messages = orjson.loads(door.get(f"{path}?offset=-1").read())
    assert "".join(each.get("text", "") for each in messages) == text + "end"


@pytest.mark.parametrize("id", ["a\r\nX-Evil: 1", "a\nb", "\x00", "\u2028", "x" * 10_000, "\ud800"])
def test_an_id_that_no_reader_can_name_is_refused(door, id):
    path = f"/streams/{quote(id.encode('utf-8', 'surrogatepass'), safe='')}"
    for method, end in (("GET", ""), ("GET", "/stream"), ("POST", "/stop"), ("HEAD", "")):
        response = door.get(path + end, method)
        if "\ud800" in id:  # it reads as another id, which is unknown
            assert response.status in (202, 204, 400, 404)
        else:
            assert response.status == 400
        assert response.getheader("X-Evil") is None


@pytest.mark.parametrize(
    "id", ["a/b", "../../etc/passwd", "日本語", "a b&c=d?e#f", "%2e%2e", "begun", ":", "'\"<>"]
)
def test_odd_ids_name_their_own_stream(door, publish, id):
    publish(answer(id, f"that of {id}"))
    path = f"/streams/{quote(id, safe='')}"
    assert door.get(f"{path}?as=text").read().decode() == f"that of {id}"


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"GET\r\n\r\n",
        b"GET /streams/q HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /streams/q HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /streams HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n{}",
        b"POST /streams HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%zz%00 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /streams/\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    ],
)
def test_garbage_breaks_nothing(door, publish, request_):
    raw(door, request_)
    publish(answer("after garbage", "fine"))
    assert door.get("/streams/after%20garbage?as=text").read() == b"fine"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"positions": 5}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_list_of_positions_is_an_empty_one(door, body):
    response = door.get("/streams", "POST", body)
    assert response.status == 200
    response.close()


@pytest.mark.parametrize(
    "positions", [{"q": "x" * 1000}, {"q": None}, {"\n": "0"}, {"q": {"a": []}}, {"x" * 5000: "1"}]
)
def test_positions_of_strangers_are_no_positions(door, positions):
    response = door.get("/streams", "POST", orjson.dumps({"positions": positions}))
    assert response.status == 200
    response.close()


@pytest.mark.parametrize("position", ["-1", "9" * 50, "a.b.c", "0" * 5000, "\u0661", "1;2"])
def test_positions_that_are_none_are_refused(door, publish, position):
    publish(answer("position", "a"))
    response = door.get(f"/streams/position?as=events&position={quote(position)}")
    assert response.status == 400
    assert orjson.loads(response.read())["error"]["code"] == 400


@pytest.mark.parametrize("origin", ["null", "file://", "https://127.0.0.1.evil.example", "", "*"])
def test_other_origins_get_nothing(door, publish, origin):
    publish(answer("q", "secret"))
    for method, path in (
        ("GET", "/streams/q"),
        ("GET", "/streams"),
        ("POST", "/streams"),
        ("POST", "/streams/q/stop"),
        ("POST", "/prompts"),
        ("GET", "/"),
    ):
        response = door.get(path, method, Origin=origin)
        assert response.status in (403, 404), (method, path)
        assert b"secret" not in response.read()
        assert response.getheader("Access-Control-Allow-Origin") is None


def test_a_preflight_of_another_origin_is_refused(door):
    headers = {"Access-Control-Request-Method": "GET", "Origin": "https://evil.example"}
    response = door.get("/streams/q", "OPTIONS", **headers)
    assert response.status == 400
    assert response.getheader("Access-Control-Allow-Origin") is None


def mac(text):
    digest = hmac.new(SECRET, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def forged():
    """Return tokens that give no right to read `mine`."""
    soon, past = int(time.time()) + 600, int(time.time()) - 1
    good = tokens.sign(SECRET, "mine", soon)
    expiry, rights, signature = good.split(".")
    jwt = b".".join(
        base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=")
        for part in ({"alg": "none"}, {"id": "mine"})
    ).decode()
    return {
        "expired": tokens.sign(SECRET, "mine", past),
        "of another id": tokens.sign(SECRET, "yours", soon),
        "of a prefix": tokens.sign(SECRET, "min", soon),
        "of the empty id": tokens.sign(SECRET, "", soon),
        "of another secret": tokens.sign(b"b" * 24, "mine", soon),
        "a JWT without a signature": f"{jwt}.",
        "without a signature": f"{expiry}.{rights}.",
        "with a longer life": f"{soon + 9999:x}.{rights}.{signature}",
        "with more rights": f"{expiry}.a.{signature}",
        "to stop only": f"{expiry}.s.{signature}",
        "in capitals": good.upper(),
        "with a line break": f"{good}\n",
        "twice": f"{good},{good}",
        "with padding": f"{good}=",
        "with moved fields": f"{expiry}.r.{mac(chr(10).join(('v1', 'r', expiry)) + 'mine')}",
        "that only asks": tokens.sign_asker(SECRET, soon, may_read=False),
    }


@pytest.mark.parametrize("kind", sorted(forged()))
def test_a_forged_token_opens_nothing(locked, publish, kind):
    publish(answer("mine", "secret"))
    token = forged()[kind]
    response = locked.get(f"/streams/mine?token={quote(token)}")
    assert (response.status, response.getheader("WWW-Authenticate")) == (401, "Bearer")
    body = response.read()
    assert orjson.loads(body)["error"]["code"] == 401
    assert b"secret" not in body
    assert token.encode() not in body
    if token.isprintable():
        assert locked.get("/streams/mine", Authorization=f"Bearer {token}").status == 401


def test_a_bearer_of_two_tokens_needs_the_first_to_be_good(locked, publish):
    publish(answer("mine", "secret"))
    good = tokens.sign(SECRET, "mine", int(time.time()) + 600)
    assert locked.get(f"/streams/mine?token={good}").read() == b"secret"
    assert locked.get(f"/streams/mine?token={good}", Authorization="Bearer none").status == 401
    assert locked.get("/streams/mine", Authorization=f"Basic {good}").status == 401
