"""The box for prompts on the page of a server of deltas, in Chromium."""

from __future__ import annotations

import orjson
import pytest
from door import answer, serving, until
from prompt_sender import takes
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms.connections.redis import connect
from transforms.sinks.redis import RedisStreams

SECRET = b"a secret of enough bytes"
LIVE = "#connection:text-is('live')"


@pytest.fixture
def redis():
    with running() as server:
        yield server


def waiting(redis):
    with connect(redis.url, "", 1)[0] as client:
        return [orjson.loads(fields[b"json"]) for _, fields in client.xrange("ritellm:prompts")]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_typed_prompt_goes_to_the_job_and_its_answer_appears(window, redis, width):
    with serving(redis.url, prompts=takes(redis.url)) as door:
        shown = window(f"{door.url}/", width, ready=LIVE)
        shown.page.fill("#prompt", "Why is the sky\nblue?")
        shown.page.press("#prompt", "Enter")
        (row,) = until(lambda: waiting(redis))
        assert row["prompt"] == "Why is the sky\nblue?"
        shown.page.wait_for_function("() => document.querySelector('#prompt').value === ''")
        RedisStreams(f"{redis.url}?per_id=true")().publish(answer(row["id"], "Because."))
        shown.page.wait_for_selector("article.finished")
        assert shown.text("pre.text") == ["Because."]
        assert shown.text("#asked") == [""]
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.errors == []


def test_a_prompt_that_is_refused_stays_in_the_box_with_the_reason(window, redis):
    with serving(redis.url, prompts=takes(redis.url, most_waiting=1)) as door:
        shown = window(f"{door.url}/", ready=LIVE)
        for text in ("first", "second"):
            shown.page.fill("#prompt", text)
            shown.page.click("#send")
            until(lambda: waiting(redis))
            shown.page.wait_for_function("() => !document.querySelector('#send').disabled")
        assert shown.text("#asked") == ["not sent: the source is full: 1 prompts are waiting"]
        assert shown.page.input_value("#prompt") == "second"
        assert [row["prompt"] for row in waiting(redis)] == ["first"]


def test_the_page_sends_its_token(window, redis):
    token = tokens.sign_asker(SECRET, 1 << 40, may_read=True)
    with serving(redis.url, SECRET, prompts=takes(redis.url)) as door:
        shown = window(f"{door.url}/#token={token}", ready=LIVE)
        shown.page.fill("#prompt", "Why?")
        shown.page.press("#prompt", "Enter")
        (row,) = until(lambda: waiting(redis))
        assert row["prompt"] == "Why?"
        shown.page.wait_for_function("() => document.querySelector('#prompt').value === ''")


def test_a_server_that_takes_no_prompts_shows_no_box(window, redis):
    with serving(redis.url) as door:
        shown = window(f"{door.url}/", ready=LIVE)
        assert not shown.page.is_visible("#prompt")
