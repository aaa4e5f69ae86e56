"""Who may come in."""

from __future__ import annotations

import pytest

from pipelines.serve_deltas import tokens
from pipelines.serve_deltas.access import Access, Refused

SECRET = b"a secret of enough bytes"
NOW = 1_700_000_000


def refused(access, id="q", query=None, to_stop=False, **headers):
    """Return the status with which a request is refused, None if it may come in."""
    given = {"host": "127.0.0.1:8080", **headers}
    try:
        access.check(given, query or {}, id, NOW, to_stop=to_stop)
    except Refused as error:
        return error.status
    return None


def test_a_token_is_good_for_one_stream_until_it_expires():
    token = tokens.sign(SECRET, "q", NOW)
    access = Access(SECRET)
    assert refused(access, query={"token": token}) is None
    assert refused(access, authorization=f"Bearer {token}") is None
    assert refused(access, "other", query={"token": token}) == 401
    assert refused(Access(b"another secret, of 24 by"), query={"token": token}) == 401
    assert refused(access, query={"token": tokens.sign(SECRET, "q", NOW - 1)}) == 401
    assert refused(access) == 401


def test_a_token_to_read_does_not_stop():
    access = Access(SECRET)
    reads, stops = (tokens.sign(SECRET, "q", NOW, may_stop=may) for may in (False, True))
    assert refused(access, query={"token": reads}, to_stop=True) == 401
    assert refused(access, query={"token": stops}, to_stop=True) is None
    assert refused(access, query={"token": stops}) is None


@pytest.mark.parametrize("place", range(20))
def test_a_changed_token_is_refused(place):
    token = tokens.sign(SECRET, "q", NOW)
    changed = token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]
    assert refused(Access(SECRET), query={"token": changed}) == 401


@pytest.mark.parametrize("token", ["", ".", "a.r.b", "\u0661.r.x", "f" * 10_000, "a.r." + "é" * 43])
def test_what_is_no_token_is_refused(token):
    assert refused(Access(SECRET), query={"token": token}) == 401


def test_a_short_secret_signs_nothing():
    with pytest.raises(ValueError, match="at least 16 bytes, got 5"):
        tokens.sign(b"short", "q", NOW)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "", "127.0.0.1.evil.example"]
)
def test_without_a_secret_only_names_of_this_machine_are_answered(host):
    assert refused(Access(), host=host) == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:1", "localhost", "[::1]:8080"])
def test_the_names_of_this_machine_are_answered(host):
    assert refused(Access(), host=host) is None


def test_pages_of_other_origins_may_not_come_in_unless_they_are_listed():
    assert refused(Access(), origin="https://evil.example") == 403
    assert refused(Access(), origin="null") == 403
    assert refused(Access(), origin="http://127.0.0.1:8080") is None
    assert refused(Access(None, ["https://app.example"]), origin="https://app.example") is None
    assert refused(Access(None, ["https://app.example"]), origin="https://app.example.evil") == 403
