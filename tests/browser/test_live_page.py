"""The page of a job that runs, in Chromium: texts grow, and what a model writes stays text."""

from __future__ import annotations

import pytest
from outcomes import completion, failed

from pipelines.pages.options import PageOptions
from pipelines.watch.feed import Feed
from pipelines.watch.numbers import Numbers
from pipelines.watch.server import Server
from pipelines.watch.streams import Streams
from transforms.elements import Prompt
from transforms.worker.capacity import in_flight

FACTS = {"model": "openai/m", "input": ["in.jsonl"], "params": {}, "output_format": "jsonl"}
ATTACK = "<img src=x onerror='window.attacked = 1'></script><script>window.attacked = 1</script>"


class Stream:
    attempts = 1

    def __init__(self):
        self.texts = {"content": [], "reasoning_content": []}

    def pieces(self, field, start):
        return self.texts[field][start:]


class Request:
    def __init__(self, prompt):
        self.prompt = prompt


class Run:
    def __init__(self, prompt):
        self.request, self.newest = Request(Prompt.of_text(prompt, "a")), Stream()
        self.number = in_flight.enter(self)

    def say(self, text):
        self.newest.texts["content"].append(text)

    def end(self):
        in_flight.leave(self.number)


class Live:
    """A job that runs as the test says."""

    def __init__(self):
        self.numbers = Numbers(PageOptions(), FACTS)
        self.feed = Feed(self.numbers, Streams(), self.state, seconds=0.02)
        self.server = Server(self.feed)

    def state(self):
        return {"running": not self.feed.ended, "live": True, "total": 4}


@pytest.fixture
def live():
    yield Live()
    for number in in_flight.runs():
        in_flight.leave(number)


def wait_for(shown, selector, text):
    shown.page.locator(selector, has_text=text).first.wait_for(timeout=30_000)


@pytest.mark.parametrize("width", [1280, 390])
def test_answers_grow_and_the_numbers_follow_until_the_job_ends(window, live, width):
    with live.server, live.feed:
        runs = [Run(f"question {number}") for number in range(3)]
        shown = window(live.server.url, width)
        wait_for(shown, "#streams h2", "3 in flight")
        assert shown.text(".stream b") == ["question 0", "question 1", "question 2"]
        runs[1].say("once upon ")
        wait_for(shown, ".stream >> nth=1", "once upon")
        runs[1].say("a time")
        wait_for(shown, ".stream >> nth=1", "once upon a time")
        runs[1].end()
        wait_for(shown, "#streams h2", "2 in flight")
        live.numbers.take(completion("a", "once upon a time", {"prompt": "question 1"}))
        live.numbers.take(failed("b"))
        wait_for(shown, ".tile >> nth=0", "2 of 4")
        wait_for(shown, "#rows", "once upon a time")
        wait_for(shown, "#failures", "BadRequestError")
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.text(".badge") == ["running"]
    wait_for(shown, ".badge", "done")
    assert not shown.page.locator("#streams").is_visible()
    assert shown.errors == []
    assert all(url.startswith((live.server.url, "data:")) for url in shown.requests)


def test_what_a_model_writes_live_runs_nothing(window, live):
    with live.server, live.feed:
        run = Run(ATTACK)
        shown = window(live.server.url)
        run.say(ATTACK)
        live.numbers.take(completion(ATTACK, ATTACK, {"prompt": ATTACK}, finish_reason=ATTACK))
        live.numbers.take(failed(ATTACK, message=ATTACK, error_type=ATTACK))
        for selector in (".stream b", ".stream p", "#rows", "#failures", "#reasons"):
            wait_for(shown, selector, ATTACK)
        assert shown.page.evaluate("window.attacked") is None
        assert shown.page.locator("main img, main script").count() == 0
        assert shown.errors == []
