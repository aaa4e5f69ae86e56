"""The live page is for the user of this machine: behind a token, on loopback, for no other page."""

from __future__ import annotations

import http.client
import re
import socket

import orjson
import pytest
from outcomes import completion, failed

from pipelines.errors import UsageError
from pipelines.pages.options import PageOptions
from pipelines.watch.feed import Feed
from pipelines.watch.numbers import Numbers
from pipelines.watch.server import Server

FACTS = {"model": "openai/m", "input": ["in.jsonl"], "params": {}, "output_format": "jsonl"}


@pytest.fixture
def numbers():
    return Numbers(PageOptions(), FACTS)


@pytest.fixture
def feed(numbers):
    return Feed(numbers, None, lambda: {"running": True, "live": True, "total": 3}, seconds=0.01)


@pytest.fixture
def server(feed):
    with Server(feed) as server, feed:
        yield server


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    connection.close()  # the response keeps the socket until it is read
    return response


def status(server, path, method="GET", **headers):
    with get(server, path, method, **headers) as response:
        return response.status


def data_of(response):
    return orjson.loads(re.search(rb'id="data">(.*?)</script>', response.read(), re.DOTALL)[1])


def events(response):
    """Yield the names and the data of server-sent events."""
    name = None
    for line in response:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, orjson.loads(line[6:])


def test_the_page_is_behind_the_token(server, numbers):
    numbers.take(completion("a", "an answer"))
    with get(server, f"/{server.token}/") as response:
        assert response.status == 200
        data = data_of(response)
    assert (data["report"]["completed"], data["rows"][0]["answer"]) == (1, "an answer")
    assert server.url == f"http://127.0.0.1:{server.port}/{server.token}/"
    assert len(server.token) >= 32


@pytest.mark.parametrize(
    "path",
    ["/", "/events", "//", "/TOKEN", "/TOKENx/", "/x/", "/TOKEN/other", "/TOKEN/../x", "/%00/"],
)
def test_all_other_addresses_are_not_found(server, path):
    assert status(server, path.replace("TOKEN", server.token)) == 404


STRANGERS = ["evil.example", "evil.example:PORT", "127.0.0.1", "", "[::1]:PORT"]


@pytest.mark.parametrize("host", STRANGERS)
def test_a_name_of_a_stranger_for_this_machine_is_refused(server, host):
    path = f"/{server.token}/"
    assert status(server, path, Host=host.replace("PORT", f"{server.port}")) == 404
    assert status(server, path, Host=f"localhost:{server.port}") == 200


def test_no_other_page_may_read_or_embed_it(server):
    with get(server, f"/{server.token}/", Origin="http://evil.example") as response:
        headers = response.headers
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "HEAD"])
def test_nothing_but_reading_is_answered(server, method):
    assert status(server, f"/{server.token}/", method) == 501


def test_it_listens_on_one_address_of_loopback_only(server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), 1)


def test_a_taken_port_is_a_wrong_use(server, feed):
    with pytest.raises(UsageError, match=f"cannot listen on port {server.port} of 127.0.0.1"):
        Server(feed, server.port)


def test_a_viewer_gets_numbers_as_they_change_and_the_end(feed, numbers):
    with Server(feed) as server:
        with feed:
            response = get(server, f"/{server.token}/events")
            found = events(response)
            while next(found)[0] != "numbers":
                pass
            numbers.take(completion("a"))
            numbers.take(failed("b"))
        rest = list(found)
        response.close()
    assert rest[-1] == ("end", {})
    last = [data for name, data in rest if name == "numbers"][-1]
    assert (last["report"]["completed"], last["report"]["failed"]) == (1, 1)
    rows = [data["rows"] for name, data in rest if name == "rows"][-1]
    assert {row["id"] for row in rows} == {"a", "b"}


def test_a_viewer_that_does_not_read_holds_nothing_up(feed, numbers):
    with Server(feed) as server, feed:
        deaf = socket.create_connection(("127.0.0.1", server.port))
        host = f"Host: 127.0.0.1:{server.port}\r\n\r\n"
        deaf.sendall(f"GET /{server.token}/events HTTP/1.1\r\n{host}".encode())
        for number in range(2_000):
            numbers.take(completion(f"{number}", "x" * 1_000))
        with get(server, f"/{server.token}/events") as response:
            seen = (data for name, data in events(response) if name == "numbers")
            assert next(data for data in seen if data["report"]["completed"] == 2_000)
        deaf.close()


def test_outcomes_that_come_too_fast_are_missed_and_not_kept(monkeypatch, numbers):
    monkeypatch.setattr("pipelines.watch.numbers._MOST_WAITING", 10)
    for number in range(25):
        numbers.take(completion(f"{number}"))
    assert numbers.settle()
    assert (numbers.missed, numbers.numbers({})["report"]["completed"]) == (15, 10)
