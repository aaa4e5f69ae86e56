"""The reading half of the Durable Streams protocol, byte for byte, before a real Redis."""

from __future__ import annotations

import threading

import orjson
import pytest
from door import answer, serving, until

from transforms.connections.delta_streams import deltas_of
from transforms.connections.redis import connect

RESET = {"type": "reset", "attempt": 1}
END = {"type": "end", "outcome": "finished", "finish_reason": "stop"}


@pytest.fixture(scope="module")
def door(redis):
    with serving(redis.url, wait_seconds=60, poll_seconds=0.05) as door:
        yield door


def delta(text):
    return {"type": "delta", "text": text}


def read(door, id, offset="-1", more="", status=200, **headers):
    """Return the headers and the messages of a read."""
    response = door.get(f"/streams/{id}?offset={offset}{more}", **headers)
    body = response.read()
    assert response.status == status, body
    return response.headers, orjson.loads(body) if status == 200 else body


def controls(response):
    """Yield (event, data) of a live read."""
    name = ""
    for line in response:
        kind, _, value = line.decode().rstrip("\n").partition(":")
        if kind == "event":
            name = value.strip()
        elif kind == "data":
            yield name, orjson.loads(value)


def test_a_finished_answer_is_a_closed_stream_of_json_messages(door, publish):
    publish(answer("whole", "Hal", "lo"))
    headers, messages = read(door, "whole")
    assert messages == [RESET, delta("Hal"), delta("lo"), END]
    assert headers["Content-Type"] == "application/json"
    assert headers["Stream-Up-To-Date"] == headers["Stream-Closed"] == "true"
    assert headers["Cache-Control"] == "private, no-cache"


def test_a_reader_of_a_growing_answer_goes_on_at_its_offset(door, publish):
    deltas = answer("grows", "a", "b")
    publish(deltas[:1])
    headers, messages = read(door, "grows")
    assert messages == [RESET, delta("a")]
    assert "Stream-Closed" not in headers
    publish(deltas[1:])
    last = headers["Stream-Next-Offset"]
    until(lambda: read(door, "grows", last)[1] == [delta("b"), END])
    headers, _ = read(door, "grows", last)
    assert read(door, "grows", headers["Stream-Next-Offset"])[1] == []
    assert headers["Stream-Next-Offset"] > last


def test_a_new_attempt_is_a_reset_for_readers_of_the_void_text(door, publish):
    publish(answer("anew", "void", final=False))
    offset = read(door, "anew")[0]["Stream-Next-Offset"]
    publish(answer("anew", "good", attempt=2))
    second = [{"type": "reset", "attempt": 2}, delta("good"), END]
    until(lambda: read(door, "anew", offset)[1] == second)
    assert read(door, "anew")[1] == second


def test_an_entity_tag_saves_the_body_until_there_is_more(door, publish):
    deltas = answer("tagged", "a")
    publish(deltas[:1])
    tag = read(door, "tagged")[0]["ETag"]
    headers, body = read(door, "tagged", status=304, If_None_Match=tag)
    assert (headers["ETag"], body) == (tag, b"")
    publish(deltas[1:])
    until(lambda: read(door, "tagged")[1] == [RESET, delta("a"), END])
    assert read(door, "tagged", If_None_Match=tag)[0]["ETag"] != tag


def test_a_long_poll_without_news_gets_status_204_and_a_cursor(door, publish):
    publish(answer("polled", "a", final=False))
    headers, body = read(door, "polled", "now", "&live=long-poll", status=204)
    assert body == b""
    assert headers["Stream-Up-To-Date"] == "true"
    assert headers["Stream-Next-Offset"] == read(door, "polled")[0]["Stream-Next-Offset"]
    cursor = headers["Stream-Cursor"]
    more = f"&live=long-poll&cursor={cursor}"
    assert int(read(door, "polled", "now", more, status=204)[0]["Stream-Cursor"]) > int(cursor)


def test_a_long_poll_gets_news_when_they_come(redis, publish):
    deltas = answer("awaited", "a", "b")
    publish(deltas[:1])
    with serving(redis.url, poll_seconds=60) as door:
        offset = read(door, "awaited")[0]["Stream-Next-Offset"]
        found = []
        poll = threading.Thread(
            target=lambda: found.extend(read(door, "awaited", offset, "&live=long-poll")[1])
        )
        poll.start()
        until(lambda: door.door.readers.count == 1)
        publish(deltas[1:2])
        poll.join()
        until(lambda: door.door.readers.count == 0)
    assert found == [delta("b")]


def test_a_long_poll_of_a_closed_stream_does_not_wait(redis, publish):
    publish(answer("over", "a"))
    with serving(redis.url, poll_seconds=3_600) as door:
        offset = read(door, "over")[0]["Stream-Next-Offset"]
        headers, _ = read(door, "over", offset, "&live=long-poll", status=204)
    assert headers["Stream-Closed"] == "true"


def test_a_live_reader_gets_messages_and_offsets_until_the_stream_is_closed(door, publish):
    deltas = answer("live", "a\n", "b")
    publish(deltas[:1])
    response = door.get("/streams/live?offset=-1&live=sse")
    assert response.headers["Content-Type"] == "text/event-stream"
    events = controls(response)
    assert next(events) == ("data", [RESET, delta("a\n")])
    name, control = next(events)
    assert (name, control["upToDate"]) == ("control", True)
    assert set(control) == {"streamNextOffset", "streamCursor", "upToDate"}
    publish(deltas[1:])
    rest = list(events)
    assert [one for name, data in rest if name == "data" for one in data] == [delta("b"), END]
    assert rest[-1][1]["streamClosed"] is True
    assert read(door, "live")[0]["Stream-Next-Offset"] == rest[-1][1]["streamNextOffset"]


def test_a_live_reader_at_the_end_is_told_where_it_is_at_once(door, publish):
    publish(answer("ended", "a"))
    offset = read(door, "ended")[0]["Stream-Next-Offset"]
    events = list(controls(door.get("/streams/ended?offset=now&live=sse")))
    told = {"streamNextOffset": offset, "upToDate": True, "streamClosed": True}
    assert events == [("control", told)]


def test_a_read_from_now_has_no_messages_and_is_not_kept(door, publish):
    publish(answer("now", "a"))
    headers, messages = read(door, "now", "now")
    assert (messages, headers["Cache-Control"], headers["ETag"]) == ([], "no-store", None)
    assert headers["Stream-Closed"] == "true"


def test_head_tells_the_end_of_the_stream(door, publish):
    publish(answer("asked", "a"))
    response = door.get("/streams/asked", method="HEAD")
    assert (response.status, response.read()) == (200, b"")
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Stream-Closed"] == "true"
    end = read(door, "asked")[0]["Stream-Next-Offset"]
    assert response.headers["Stream-Next-Offset"] == end
    assert door.get("/streams/nothing", method="HEAD").status == 404


def test_a_stream_whose_beginning_was_trimmed_is_gone(redis, door, publish):
    publish(answer("trimmed", "a", "b", "c"))
    with connect(redis.url, "", 1)[0] as client:
        client.xtrim(deltas_of("ritellm", "trimmed"), maxlen=2, approximate=False)
    read(door, "trimmed", status=410)


@pytest.mark.parametrize(
    "query",
    [
        "offset=",
        "offset=0,1",
        "offset=-1&offset=-1",
        "offset=-1&live=always",
        "live=long-poll",
        "live=sse",
        f"offset={'f' * 300}",
    ],
)
def test_bad_parameters_are_refused(door, publish, query):
    assert door.get(f"/streams/any?{query}").status == 400


def test_an_unknown_stream_is_waited_for_and_then_not_found(redis):
    with serving(redis.url, wait_seconds=0.05) as door:
        for more in ("", "&live=long-poll", "&live=sse"):
            read(door, "unknown", "-1", more, status=404)


def test_a_reader_needs_a_token_for_its_stream(redis):
    with serving(redis.url, secret=b"a secret of enough bytes") as door:
        read(door, "any", status=401)
        assert door.get("/streams/any", method="HEAD").status == 401
