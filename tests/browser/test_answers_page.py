"""The page of a server of deltas, in Chromium: reload, stop, offline and back, and hostile text."""

from __future__ import annotations

import orjson
import pytest
from door import answer, serving
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms.connections.redis import connect
from transforms.sinks.redis import RedisStreams

SECRET = b"a secret of enough bytes"
ATTACK = "<img src=x onerror='window.attacked = 1'></script><script>window.attacked = 1</script>"
LIVE = "#connection:text-is('live')"


@pytest.fixture
def redis():
    with running() as server:
        yield server


@pytest.fixture
def publish(redis):
    publisher = RedisStreams(f"{redis.url}?per_id=true")()
    yield publisher.publish
    publisher.close()


@pytest.fixture
def door(redis):
    with serving(redis.url) as door:
        yield door


def wait_for(shown, id, text, state=None):
    """Wait until the answer of `id` is exactly `text`."""
    shown.page.wait_for_function(
        """([id, text, state]) => [...document.querySelectorAll("article")].some((card) =>
            card.querySelector("h2").textContent === id
            && card.querySelector("pre.text").textContent === text
            && (!state || card.classList.contains(state)))""",
        arg=[id, text, state],
        timeout=30_000,
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_answers_grow_side_by_side_and_a_reload_in_the_middle_loses_nothing(
    window, door, publish, width
):
    one, two = answer("one", "once ", "upon ", "a time"), answer("two", "in ", "the ", "end")
    publish([*one[:1], *two[:1]])
    shown = window(f"{door.url}/", width, ready=LIVE)
    wait_for(shown, "one", "once ", "growing")
    wait_for(shown, "two", "in ", "growing")
    publish(one[1:2])
    wait_for(shown, "one", "once upon ")
    shown.page.reload()
    wait_for(shown, "one", "once upon ", "growing")
    publish([*one[2:], *two[1:], *answer("three", "new", order=3)])
    wait_for(shown, "one", "once upon a time", "finished")
    wait_for(shown, "two", "in the end", "finished")
    wait_for(shown, "three", "new", "finished")
    assert shown.text("h2")[0] == "three"  # the newest comes first
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.errors == []
    assert all(url.startswith((f"{door.url}/", "data:,")) for url in shown.requests)


def test_the_page_shows_more_answers_at_once_than_a_browser_has_connections(window, door, publish):
    answers = [answer(f"q{number}", "a", "b") for number in range(20)]
    publish([deltas[0] for deltas in answers])
    shown = window(f"{door.url}/", ready=LIVE)
    for deltas in answers:
        wait_for(shown, deltas[0].id, "a", "growing")
    publish([delta for deltas in answers for delta in deltas[1:]])
    for deltas in answers:
        wait_for(shown, deltas[0].id, "ab", "finished")


def test_the_stop_button_asks_for_the_answer_by_its_id(window, door, publish, redis):
    id = "a/b ?#%"
    publish(answer(id, "text", final=False))
    shown = window(f"{door.url}/", ready=LIVE)
    wait_for(shown, id, "text", "growing")
    shown.page.get_by_role("button", name="Stop").click()
    shown.page.locator(".state", has_text="stopping").wait_for(timeout=30_000)
    client, _ = connect(redis.url, "", 5.0)
    client.xread({"ritellm:stops": "0"}, block=30_000)
    assert [entry[b"id"] for _, entry in client.xrange("ritellm:stops")] == [id.encode()]
    client.close()
    publish(answer(id, "text", reason="stopped")[1:])
    wait_for(shown, id, "text", "stopped")
    assert shown.page.get_by_role("button", name="Stop").count() == 0


def test_a_page_that_was_offline_goes_on_where_it_was(window, door, publish):
    deltas = answer("one", "a", "b", "c")
    publish(deltas[:1])
    shown = window(f"{door.url}/", ready=LIVE)
    wait_for(shown, "one", "a")
    sent = []
    shown.page.on("request", lambda request: sent.append(request.post_data))
    shown.page.context.set_offline(True)
    shown.page.locator("#connection.away").wait_for(timeout=30_000)
    publish(deltas[1:])
    shown.page.context.set_offline(False)
    wait_for(shown, "one", "abc", "finished")
    shown.page.locator(LIVE).wait_for(timeout=30_000)
    assert orjson.loads(sent[-1])["positions"]["one"].endswith("_00000001")


def test_a_page_outlives_its_server(window, redis, publish):
    deltas = answer("one", "a", "b")
    publish(deltas[:1])
    with serving(redis.url) as door:
        shown = window(f"{door.url}/", ready=LIVE)
        wait_for(shown, "one", "a")
    shown.page.locator("#connection.away").wait_for(timeout=30_000)
    wait_for(shown, "one", "a", "growing")
    publish(deltas[1:])
    with serving(redis.url, port=door.port):
        wait_for(shown, "one", "ab", "finished")


def test_what_a_model_writes_stays_text_and_so_does_an_id(window, door, publish):
    publish(answer(ATTACK, ATTACK, "\u202e\x00&lt;b>"))
    shown = window(f"{door.url}/", ready=LIVE)
    wait_for(shown, ATTACK, ATTACK + "\u202e\x00&lt;b>", "finished")
    assert shown.page.evaluate("window.attacked") is None
    assert shown.page.locator("article img, article script").count() == 0
    assert shown.errors == []


def test_an_answer_that_begins_again_replaces_its_text(window, door, publish):
    publish(answer("one", "old", "er", final=False))
    shown = window(f"{door.url}/", ready=LIVE)
    wait_for(shown, "one", "older", "growing")
    publish(answer("one", "new", attempt=2))
    wait_for(shown, "one", "new", "finished")


def test_with_a_secret_the_page_takes_its_token_from_the_fragment(window, redis, publish):
    publish(answer("one", "text"))
    with serving(redis.url, SECRET) as door:
        shown = window(f"{door.url}/", ready="#connection.away")
        shown.page.locator("#connection", has_text="--sign_all").wait_for(timeout=30_000)
        token = tokens.sign(SECRET, None, 1 << 40)
        shown.page.goto(f"{door.url}/#token={token}")
        wait_for(shown, "one", "text", "finished")
        assert not any(token in url.partition("#")[0] for url in shown.requests)
