"""Redirects are not followed, and headers of the connection are not the caller's to set."""

from __future__ import annotations

import pytest
from faces import BOTH, FACES, KEY, closing
from raw_server import RawServer

from ritellm import InvalidRequestError, RetryPolicy, RitellmError

ADDRESSES = {
    "/moved": "/moved",
    "https://other.example/v1/chat": "https://other.example/v1/chat",
    "//other.example/x": "//other.example/x",
    "https://user:secret@other.example/x": "https://other.example/x",
    "https://other.example/x?token=secret": "https://other.example/x",
}


@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("location", "named"), ADDRESSES.items(), ids=ADDRESSES)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_redirect_is_an_error_that_names_the_address(
    make_face, status, location, named, streamed
):
    head = "HTTP/1.1 {} Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n"

    def move(peer):
        while True:
            peer.reply(head.format(status, location).encode())

    with RawServer(move) as server:
        made = make_face(base_url=server.base_url, api_key=KEY, retry=RetryPolicy(num_retries=3))
        with closing(made) as face, pytest.raises(RitellmError) as caught:
            face.ask(stream=True) if streamed else face.ask()
    error = caught.value
    assert f"redirects to {named}" in str(error)
    assert "set base_url" in str(error)
    assert "secret" not in str(error)
    assert error.status_code == status
    assert (error.attempts, error.retryable) == (1, False)


@pytest.mark.parametrize("argument", ["headers", "extra_headers"])
@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "Connection", "TE", "upgrade", "Expect", "Keep-Alive"],
)
def test_a_header_of_the_connection_is_refused(fake_server, argument, name):
    made = FACES["sync"](base_url=fake_server.base_url, api_key=KEY)
    says = pytest.raises(InvalidRequestError, match=f"{argument}: {name} belongs to")
    with closing(made) as face, says:
        face.ask(**{argument: {name: "5"}})
    assert not fake_server.requests


@pytest.mark.parametrize("name", ["content-length ", "x:y", "a b", "", "x(y)"])
def test_a_name_that_is_no_token_is_refused(fake_server, name):
    made = FACES["sync"](base_url=fake_server.base_url, api_key=KEY)
    with closing(made) as face, pytest.raises(InvalidRequestError, match="a name must be letters"):
        face.ask(extra_headers={name: "5"})
