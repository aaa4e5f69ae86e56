"""A server before a real Redis: what its readers may rely on."""

from __future__ import annotations

import http.client
import random
import threading
from contextlib import suppress

import pytest
from door import Page, answer, events_in, events_of, serving, until
from redis_server import running

import ritellm
from pipelines.serve_deltas import tokens
from transforms import DeadLetter
from transforms.connections.redis import connect
from transforms.sinks.redis import RedisStreams

SECRET = b"a secret of enough bytes"
QUESTION = [{"role": "user", "content": "?"}]


@pytest.fixture(scope="module")
def door(redis):
    with serving(redis.url, wait_seconds=60) as door:
        yield door


def test_a_late_reader_gets_a_finished_answer_in_one_event(door, publish):
    publish(answer("late", "Hal", "lo", usage={"total_tokens": 5}))
    (text, end) = door.events("late")
    assert text[:2] == ("message", {"text": "Hallo"})
    ended = {"outcome": "finished", "finish_reason": "stop", "usage": {"total_tokens": 5}}
    assert end[:2] == ("end", ended)


def test_a_reader_gets_the_deltas_while_they_are_published(door, publish):
    deltas = answer("live", "a", "b", "c")
    publish(deltas[:1])
    events = door.events("live")
    assert next(events)[1] == {"text": "a"}
    publish(deltas[1:2])
    assert next(events)[1] == {"text": "b"}
    publish(deltas[2:])
    page = Page()
    page.take(events)
    assert (page.text, page.end["outcome"]) == ("c", "finished")


def test_a_reader_may_come_before_the_answer(door, publish):
    page = Page()
    thread = threading.Thread(target=lambda: page.take(door.events("early")))
    thread.start()
    until(lambda: any(channel.id == "early" for channel in door.door.hub.channels))
    publish(answer("early", "here"))
    thread.join()
    assert (page.text, page.resets) == ("here", 0)


def test_a_reader_that_comes_back_gets_the_rest(door, publish):
    deltas, page = answer("back", "a", "b", "c"), Page()
    publish(deltas[:2])
    page.take(door.events("back"), most=1)
    publish(deltas[2:])
    page.take(door.events("back", page.position))
    assert (page.text, page.resets) == ("abc", 0)


def test_a_reader_that_lost_its_connection_before_the_end_gets_the_end_alone(door, publish):
    publish(answer("cut", "a", "b"))
    page = Page()
    page.take(door.events("cut"), most=1)
    assert page.text == "ab"
    assert page.take(door.events("cut", page.position))
    assert (page.text, page.resets, page.end["outcome"]) == ("ab", 0, "finished")


def test_a_browser_that_has_the_end_is_told_not_to_come_back(door, publish):
    publish(answer("over", "a"))
    page = Page()
    page.take(door.events("over"))
    response = door.get("/streams/over", Accept="text/event-stream", Last_Event_ID=page.position)
    assert (response.status, response.read()) == (204, b"")


def test_a_new_attempt_resets_the_text(door, publish):
    page = Page()
    publish(answer("retry", "half a te", final=False))
    events = door.events("retry")
    page.take(events, most=1)
    publish(answer("retry", "all of it", attempt=2))
    page.take(events)
    assert (page.text, page.resets) == ("all of it", 1)


def test_a_new_submission_resets_the_text_of_a_reader_that_was_away(door, publish):
    page = Page()
    publish(answer("again", "half", final=False))
    page.take(door.events("again"), most=1)
    publish(answer("again", "whole", order=2))
    page.take(door.events("again", page.position))
    assert (page.text, page.resets) == ("whole", 1)


def test_a_failed_prompt_ends_its_stream(door, publish):
    publish(answer("failed", "half", final=False))
    publish([DeadLetter("failed", "{}", "RateLimitError", "no", 429, True, 3, "half")])
    page = Page()
    page.take(door.events("failed"))
    assert (page.text, page.end) == ("half", {"outcome": "failed", "error_type": "RateLimitError"})


@pytest.mark.parametrize("id", ["a/b", "a%2Fb", "ü ?#&", "..", "x" * 1000, "a:failed"])
def test_any_printable_id_has_a_stream(door, publish, id):
    publish(answer(id, "yes"))
    page = Page()
    page.take(door.events(id))
    assert page.text == "yes"


def test_plain_text_is_read_as_it_grows(door, publish):
    deltas = answer("text", "a\n", "b")
    publish(deltas[:1])
    response = door.get("/streams/text?as=text")
    assert response.readline() == b"a\n"
    publish(deltas[1:])
    assert response.read() == b"b"


def test_plain_text_of_a_void_answer_is_not_taken_for_a_whole_one(door, publish):
    publish(answer("void", "half\n", final=False))
    response = door.get("/streams/void?as=text")
    assert response.readline() == b"half\n"
    publish(answer("void", "whole", order=2))
    with pytest.raises(http.client.IncompleteRead):
        response.read()


def test_completion_reads_a_finished_answer(door, publish):
    publish(answer("chat", "Hal", "lo", usage={"prompt_tokens": 1, "completion_tokens": 2}))
    url = f"{door.url}/streams/chat"
    whole = ritellm.completion("openai/any", QUESTION, base_url=url, api_key="none")
    assert whole.choices[0].message.content == "Hallo"
    assert whole.usage.completion_tokens == 2
    chunks = ritellm.completion("openai/any", QUESTION, base_url=url, api_key="none", stream=True)
    assert ritellm.stream_chunk_builder(list(chunks)).choices == whole.choices


def test_completion_reads_an_answer_that_grows(door, publish):
    deltas = answer("chat live", "a", "b")
    publish(deltas[:1])
    url = f"{door.url}/streams/chat%20live"
    stream = ritellm.completion("openai/any", QUESTION, base_url=url, api_key="none", stream=True)
    assert next(stream).choices[0].delta.content == "a"
    publish(deltas[1:])
    assert [chunk.choices[0].delta.content for chunk in stream] == ["b", None]
    assert stream.completion.choices[0].finish_reason == "stop"


def test_completion_raises_when_the_answer_begins_anew(door, publish):
    publish(answer("chat void", "half", final=False))
    url = f"{door.url}/streams/chat%20void"
    stream = ritellm.completion("openai/any", QUESTION, base_url=url, api_key="none", stream=True)
    assert next(stream).choices[0].delta.content == "half"
    publish(answer("chat void", "whole", order=2))
    with pytest.raises(ritellm.RitellmError, match="begins anew"):
        list(stream)


def test_use_chat_resumes_an_answer_that_grows_and_no_other(door, publish):
    deltas = answer("resumed", "a", "b")
    assert door.get("/streams/resumed/stream").status == 204
    publish(deltas[:1])
    until(lambda: all(c.text.has_begun for c in door.door.hub.channels if c.id == "resumed"))
    response = door.get("/streams/resumed/stream")
    assert response.getheader("x-vercel-ai-ui-message-stream") == "v1"
    publish(deltas[1:])
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert door.get("/streams/resumed/stream").status == 204


def test_a_request_for_the_head_of_a_growing_answer_leaves_the_connection_usable(door, publish):
    publish(answer("head", "a", final=False))
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    connection.request("HEAD", "/streams/head/stream")
    assert (connection.getresponse().read(), connection.sock is not None) == (b"", True)
    connection.request("GET", "/streams/head?as=other")
    assert connection.getresponse().status == 400
    connection.close()


def test_many_readers_share_two_connections_and_one_that_leaves_ends_nothing(door, redis, publish):
    deltas = answer("shared", *"abcdefgh")
    publish(deltas[:1])
    readers = [door.events("shared") for _ in range(20)]
    assert [next(events)[1]["text"] for events in readers] == ["a"] * 20
    for events in readers[::2]:
        events.close()
    publish(deltas[1:])
    pages = [Page() for _ in readers[1::2]]
    assert all(page.take(events) for page, events in zip(pages, readers[1::2], strict=True))
    assert {page.text for page in pages} == {"bcdefgh"}
    with connect(redis.url, "", 1)[0] as client:
        # Those of the server, the publishers and this test. There are 20 readers.
        assert len(client.client_list()) < 15


def test_nothing_is_lost_between_the_beginning_and_the_tail(door, publish):
    """Readers come at all moments of answers that are being published."""
    pages, threads = [], []

    def read(id):
        page = Page()
        page.take(door.events(id))
        pages.append((id, page.text, page.resets))

    words = {f"race {n}": [f"{n}.{k} " for k in range(40)] for n in range(10)}
    for id, texts in words.items():
        for delta in answer(id, *texts):
            publish([delta])
            if delta.seq % 10 == 0:
                threads.append(threading.Thread(target=read, args=(id,)))
                threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(pages) == 50
    assert set(pages) == {(id, "".join(texts), 0) for id, texts in words.items()}


def test_a_reader_that_is_killed_at_random_reads_each_byte_once(door, publish):
    chosen, page, texts = random.Random(1), Page(), [f"{n}," for n in range(300)]
    deltas, kills = answer("killed", *texts), 0
    for start in range(0, len(deltas), 6):
        publish(deltas[start : start + 6])
        while page.text.count(",") < min(start + 6, len(texts)):
            headers = {"Last_Event_ID": page.position} if page.position else {}
            with door.get("/streams/killed?as=events", **headers) as response:
                received = response.read1(chosen.randint(1, 120))
            page.take(events_in(received.splitlines(keepends=True)))
            kills += 1
    page.take(door.events("killed", page.position))
    assert kills >= 50
    assert (page.text, page.resets, page.end["outcome"]) == ("".join(texts), 0, "finished")


def test_a_second_server_continues_what_the_first_one_began(door, redis, publish):
    deltas, page = answer("two", "a", "b", "c"), Page()
    publish(deltas[:2])
    page.take(door.events("two"), most=1)
    with serving(redis.url) as other:
        publish(deltas[2:])
        page.take(other.events("two", page.position))
    assert (page.text, page.resets) == ("abc", 0)


def test_a_position_that_is_none_is_refused(door, publish):
    publish(answer("position", "a"))
    response = door.get("/streams/position", Accept="text/event-stream", Last_Event_ID="7")
    assert response.status == 400


@pytest.mark.parametrize(
    "path", ["/streams/", "/streams/%00", "/streams/a?as=xml", "/streams/a%0Ab"]
)
def test_what_is_no_stream_is_refused(door, path):
    assert door.get(path).status in (400, 404)


def test_an_unknown_id_waits_for_a_time_and_is_not_found(redis):
    with serving(redis.url, wait_seconds=0.2) as door:
        response = door.get("/streams/unknown", Accept="text/event-stream")
        assert response.status == 404
        assert b"no delta of this id has come in 0.2 seconds" in response.read()


def test_tokens_open_one_stream(redis, publish):
    publish(answer("mine", "a"))
    publish(answer("yours", "b"))
    token = tokens.sign(SECRET, "mine", 1 << 40)
    with serving(redis.url, secret=SECRET) as door:
        page = Page()
        page.take(door.events("mine", query=f"?token={token}"))
        assert page.text == "a"
        assert door.get(f"/streams/yours?token={token}").status == 401
        assert door.get("/streams/mine").status == 401
        whole = ritellm.completion(
            "openai/any", QUESTION, base_url=f"{door.url}/streams/mine", api_key=token
        )
        assert whole.choices[0].message.content == "a"


def test_a_listed_origin_may_read_and_another_one_may_not(redis, publish):
    publish(answer("cors", "a"))
    with serving(redis.url, origins=["https://app.example"]) as door:
        allowed = door.get("/streams/cors", Origin="https://app.example")
        assert allowed.getheader("Access-Control-Allow-Origin") == "https://app.example"
        assert allowed.read() == b"a"
        refused = door.get("/streams/cors", Origin="https://evil.example")
        assert (refused.status, refused.getheader("Access-Control-Allow-Origin")) == (403, None)


def test_there_are_no_more_readers_than_allowed(redis, publish):
    publish(answer("full", "a", final=False))
    with serving(redis.url, max_readers=3, max_per_stream=2) as door:
        readers = [door.events("full") for _ in range(2)]
        assert [next(events)[1] for events in readers] == [{"text": "a"}] * 2
        response = door.get("/streams/full", Accept="text/event-stream")
        assert (response.status, response.getheader("Retry-After")) == (429, "1")
        readers[0].close()
        until(lambda: door.get("/streams/full", Accept="text/event-stream").status == 200)


def test_a_quiet_connection_gets_pings(redis, publish):
    publish(answer("quiet", "a", final=False))
    with serving(redis.url, ping_seconds=0.1) as door:
        response = door.get("/streams/quiet", Accept="text/event-stream")
        lines = [response.readline() for _ in range(5)]
        assert lines[3:] == [b":\n", b"\n"]


def test_a_reader_that_reads_nothing_is_cut_off_and_can_return(redis, publish):
    deltas = answer("slow", *["x" * 100_000] * 40)
    with serving(redis.url, patience=0.5, ping_seconds=0.5) as door:
        publish(deltas[:1])
        slow, page = door.get("/streams/slow", Accept="text/event-stream"), Page()
        until(lambda: door.door.readers.count == 1)
        for start in range(1, len(deltas)):
            publish(deltas[start : start + 1])
        until(lambda: door.door.readers.count == 0)
        with suppress(ConnectionError, http.client.IncompleteRead):
            assert not page.take(events_of(slow))
        page.take(door.events("slow", page.position))
        assert (len(page.text), page.resets) == (4_000_000, 0)


def test_readers_are_told_when_the_server_ends(redis, publish):
    publish(answer("closing", "a", final=False))
    with serving(redis.url) as door:
        events, text = door.events("closing"), door.get("/streams/closing?as=text")
        assert next(events)[1] == {"text": "a"}
        assert text.read(1) == b"a"
        door.stop()
        assert list(events) == []  # a browser reconnects, to a server that is there
        with pytest.raises(http.client.IncompleteRead):
            text.read()


def test_readers_stay_while_redis_is_away():
    with running() as redis, serving(redis.url) as door:
        publisher = RedisStreams(f"{redis.url}?per_id=true")()
        deltas = answer("away", "a", "b", "c")
        publisher.publish(deltas[:1])
        events, page = door.events("away"), Page()
        page.take(events, most=1)
        redis.kill()
        response = door.get("/streams/other", Accept="text/event-stream")
        assert (response.status, response.read()) == (200, b"retry: 2000\n\n")
        assert door.get("/streams/other?as=text").status == 503
        redis.start()
        publisher.publish(deltas[1:])
        page.take(events)
        assert (page.text, page.resets) == ("abc", 0)
