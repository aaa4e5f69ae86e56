"""All answers that began lately: their listing, and the one response that follows them."""

from __future__ import annotations

import orjson
import pytest
from door import answer, serving
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms import DeadLetter
from transforms.connections.redis import connect
from transforms.sinks.redis import RedisStreams

SECRET = b"a secret of enough bytes"


@pytest.fixture
def redis():
    with running() as server:
        yield server


class Watched:
    """What a page has of all answers, by the lines that it gets."""

    def __init__(self):
        self.texts, self.positions, self.ends, self.resets = {}, {}, {}, 0

    def read(self, door, until, **headers):
        """Take lines until `until()`; the connection then ends."""
        body = orjson.dumps({"positions": self.positions})
        response = door.get("/streams", "POST", body, **headers)
        assert response.status == 200, response.read()
        with response:
            while not until():
                if line := response.readline().strip():
                    self.take(orjson.loads(line))

    def take(self, line):
        id = line["id"]
        if line.get("reset"):
            self.texts[id], self.resets = "", self.resets + 1
        self.texts[id] = self.texts.get(id, "") + line.get("text", "")
        self.positions[id] = line["position"]
        if "end" in line:
            self.ends[id] = line["end"]["outcome"]


def ids(door, query=""):
    return [stream["id"] for stream in orjson.loads(door.get(f"/streams{query}").read())["streams"]]


def test_the_listing_has_the_answers_that_began_last_the_newest_first(redis, publish):
    with serving(redis.url) as door:
        assert ids(door) == []
    publish([*answer("a", "1"), *answer("b/c", "2"), *answer("a", "3", order=2)])
    with serving(redis.url) as door:
        assert ids(door) == ["a", "b/c"]


def test_the_listing_is_bounded_and_leaves_out_what_redis_has_removed(redis, publish):
    publish([delta for number in range(150) for delta in answer(f"q{number}", "x")])
    client, _ = connect(redis.url, "", 5.0)
    client.delete("ritellm:deltas:q149")
    client.close()
    with serving(redis.url) as door:
        assert ids(door) == [f"q{number}" for number in range(148, 49, -1)]


def test_the_list_of_answers_expires_with_them_and_is_trimmed(redis):
    publisher = RedisStreams(f"{redis.url}?per_id=true&ttl=60")()
    publisher.publish([answer(f"q{number}", "x")[0] for number in range(1_500)])
    publisher.close()
    client, _ = connect(redis.url, "", 5.0)
    assert 0 < client.ttl("ritellm:begun") <= 60
    assert 1_000 <= client.xlen("ritellm:begun") <= 1_200
    client.close()


def test_one_response_has_all_answers_while_they_grow_and_those_that_begin(redis, publish):
    page = Watched()
    one, two, three = (answer(id, "x", "y", "z") for id in ("one", "two", "three"))
    publish([*one[:1], *two])
    with serving(redis.url) as door:
        response = door.get("/streams", "POST", b"{}")
        lines = (orjson.loads(line) for line in response if line.strip())
        while page.texts != {"one": "x", "two": "xyz"}:
            page.take(next(lines))
        publish([*one[1:], *three])
        while len(page.ends) < 3:
            page.take(next(lines))
    assert page.texts == {"one": "xyz", "two": "xyz", "three": "xyz"}
    assert page.resets == 0


def test_a_page_that_comes_back_gets_the_rest_of_each_answer(redis, publish):
    page = Watched()
    one, two = answer("one", "a", "b", "c"), answer("two", "d", "e")
    publish([*one[:2], *two])
    with serving(redis.url) as door:
        page.read(door, lambda: page.texts == {"one": "ab", "two": "de"} and "two" in page.ends)
        publish(one[2:])
        page.read(door, lambda: "one" in page.ends)
    assert page.texts == {"one": "abc", "two": "de"}
    assert page.resets == 0


def test_an_answer_that_begins_again_is_reset(redis, publish):
    page = Watched()
    publish(answer("one", "old"))
    with serving(redis.url) as door:
        page.read(door, lambda: "one" in page.ends)
        publish(answer("one", "new", order=2))
        page.ends.clear()
        page.read(door, lambda: "one" in page.ends)
        assert (page.texts, page.resets) == ({"one": "new"}, 1)


def test_an_answer_that_begins_again_is_reset_on_an_open_page(redis, publish):
    page = Watched()
    publish(answer("one", "old"))
    with serving(redis.url) as door:
        response = door.get("/streams", "POST", b"{}")
        lines = (orjson.loads(line) for line in response if line.strip())
        page.take(next(lines))
        assert page.ends == {"one": "finished"}
        publish(answer("one", "new", order=2))
        while page.texts["one"] != "new":
            page.take(next(lines))
    assert page.resets == 1


def test_a_prompt_that_fails_before_its_first_delta_is_shown(redis, publish):
    page = Watched()
    publish([DeadLetter("q", "{}", "AuthenticationError", "no", 401, False, 1, "")])
    with serving(redis.url) as door:
        page.read(door, lambda: page.ends == {"q": "failed"})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"positions": 7}', b'{"positions": {"one": "x"}}'])
def test_a_body_without_positions_begins_at_the_beginning(redis, publish, body):
    publish(answer("one", "text"))
    with serving(redis.url) as door:
        response = door.get("/streams", "POST", body)
        line = next(line for line in response if line.strip())
        assert orjson.loads(line)["text"] == "text"


def test_a_body_that_is_too_large_is_refused(redis):
    with serving(redis.url) as door:
        assert door.get("/streams", "POST", b"x" * (1 << 21)).status == 413


def test_with_a_secret_the_listing_needs_a_token_for_all_streams(redis, publish):
    publish(answer("one", "text"))
    everything = tokens.sign(SECRET, None, 1 << 40)
    with serving(redis.url, SECRET) as door:
        assert door.get("/streams").status == 401
        assert door.get("/streams", "POST", b"{}").status == 401
        single = tokens.sign(SECRET, "one", 1 << 40, may_stop=True)
        refused = door.get(f"/streams?token={single}")
        assert (refused.status, b"for one stream, not for all" in refused.read()) == (401, True)
        assert ids(door, f"?token={everything}") == ["one"]
        page = Watched()
        page.read(door, lambda: "one" in page.ends, Authorization=f"Bearer {everything}")
        assert door.get(f"/streams/one?as=text&token={everything}").read() == b"text"
        assert door.get(f"/streams/one/stop?token={everything}", "POST").status == 401
        stopper = tokens.sign(SECRET, None, 1 << 40, may_stop=True)
        assert door.get(f"/streams/one/stop?token={stopper}", "POST").status == 202


def test_a_token_for_the_stream_of_no_id_is_not_one_for_all(redis):
    forged = tokens.sign(SECRET, "", 1 << 40).replace(".r.", ".a.")
    with serving(redis.url, SECRET) as door:
        assert door.get(f"/streams?token={forged}").status == 401


def test_pages_of_strangers_get_no_listing(redis, publish):
    publish(answer("one", "text"))
    with serving(redis.url) as door:
        for method, path in (("GET", "/"), ("GET", "/streams"), ("POST", "/streams")):
            assert door.get(path, method, Host="evil.example").status == 403
            assert door.get(path, method, Origin="https://evil.example").status == 403


def test_the_page_loads_nothing_and_allows_its_own_script_only(redis):
    with serving(redis.url) as door:
        response = door.get("/")
        policy = dict(
            part.partition(" ")[::2]
            for part in response.headers["Content-Security-Policy"].split("; ")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"].startswith("'sha256-")
        assert "unsafe" not in str(policy)
        body = response.read().decode()
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "innerHTML" not in body
        assert "://" not in body
        assert "{{" not in body
