"""The Redis journal: a server that goes away, passwords, prefixes."""

from __future__ import annotations

import contextlib
import sys

import pytest
from journals import keep, key, value
from redis_server import running

from transforms.journal import (
    JournalError,
    JournalUnavailable,
    Spent,
    open_journal,
)
from transforms.journal.base import NOTHING
from transforms.journal.redis import RedisJournal
from transforms.journal.tolerant import TolerantJournal


@pytest.fixture
def mortal_server():
    with running() as server:
        yield server


def test_a_dead_server_is_an_error_until_it_is_back(mortal_server):
    with contextlib.closing(RedisJournal(mortal_server.url, "p", tries=0)) as journal:
        keep(journal, (key("before"), value()))
        mortal_server.kill()
        with pytest.raises(JournalUnavailable, match=r"Redis at .* cannot be used"):
            journal.lookup(key("before"))
        with pytest.raises(JournalUnavailable):
            keep(journal, (key("meanwhile"), value()))
        mortal_server.start()
        keep(journal, (key("after"), value()))
        assert journal.lookup(key("before")) == value()
        assert journal.lookup(key("meanwhile")) is None


def test_a_tolerant_journal_continues_without_its_server_and_logs_it(mortal_server, caplog):
    now = [0.0]
    redis = RedisJournal(mortal_server.url, "p", tries=0)
    with contextlib.closing(TolerantJournal(redis, clock=lambda: now[0])) as journal:
        keep(journal, (key("before"), value()), spent=Spent(3))
        mortal_server.kill()
        keep(journal, (key("meanwhile"), value()))
        assert journal.lookup(key("before")) is None
        assert journal.spent() == NOTHING
        assert journal.missed == 3
        mortal_server.start()
        assert journal.lookup(key("before")) is None, "it is paused"
        now[0] = 11.0
        assert journal.lookup(key("before")) == value()
        assert journal.spent() == Spent(3)
    said = [record.getMessage() for record in caplog.records]
    assert [line[:29] for line in said] == [
        "journal unavailable, continui",
        "the journal is available agai",
    ]


def test_a_missing_server_fails_the_check_of_a_required_journal(tmp_path):
    pytest.importorskip("redis")
    spec = f"unix://{tmp_path}/nobody.sock"
    journal = open_journal(spec, "out", required=False)
    assert journal.lookup(key()) is None
    journal.close()
    journal = RedisJournal(spec, "p", tries=0)
    with pytest.raises(JournalUnavailable, match=r"nobody\.sock cannot be used"):
        journal.check()
    journal.close()


def test_no_message_shows_the_servers_password(monkeypatch):
    pytest.importorskip("redis")
    monkeypatch.setenv("JOURNAL_PASSWORD", "hunter2")
    url = "redis://u@127.0.0.1:1/0?password_env=JOURNAL_PASSWORD"
    journal = RedisJournal(url, "p", tries=0)
    with pytest.raises(JournalUnavailable, match=r"127\.0\.0\.1:1") as caught:
        journal.check()
    journal.close()
    assert "hunter2" not in str(caught.value)


def test_the_servers_password_can_stay_in_the_environment(monkeypatch):
    pytest.importorskip("redis")
    url = "redis://127.0.0.1:1/0?password_env=JOURNAL_PASSWORD"
    with pytest.raises(JournalError, match=r"JOURNAL_PASSWORD .* is not set here"):
        RedisJournal(url, "p")
    monkeypatch.setenv("JOURNAL_PASSWORD", "hunter2")
    RedisJournal(url, "p").close()


def test_a_damaged_entry_of_the_server_is_not_found(redis_server, caplog):
    with contextlib.closing(RedisJournal(redis_server.url, "damaged")) as journal:
        keep(journal, (key("1", "a"), value("1")), (key("2", "b"), value("2")))
        place = f"damaged:{key('1', 'a').request}"
        journal._redis.hset(place, "1", journal._redis.hget(place, "1")[:-3])
        assert journal.lookup(key("1", "a")) is None
        assert journal.lookup(key("2", "b")) == value("2")
    assert "a damaged entry of Redis at" in caplog.text


def test_jobs_with_different_prefixes_do_not_see_each_other(redis_server):
    url = redis_server.url
    with (
        contextlib.closing(RedisJournal(url, "job 1")) as one,
        contextlib.closing(RedisJournal(url, "job 2")) as two,
        contextlib.closing(RedisJournal(f"{url}?prefix=job%201", "ignored")) as same,
    ):
        keep(one, (key(), value()), spent=Spent(1))
        assert (two.lookup(key()), two.spent()) == (None, NOTHING)
        assert (same.lookup(key()), same.spent()) == (value(), Spent(1))


def test_without_the_client_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(JournalError, match="pip install"):
        open_journal("redis://localhost", "out", required=False)
