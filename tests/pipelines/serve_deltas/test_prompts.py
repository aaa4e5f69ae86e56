"""Prompts over HTTP: what is taken, what is refused, and that nothing is taken twice."""

from __future__ import annotations

import logging
import time

import orjson
import pytest
from door import answer, serving
from prompt_sender import takes
from redis_server import running

from pipelines.inputs.row_form import RowForm
from pipelines.serve_deltas import tokens
from pipelines.serve_deltas.prompts.intake import asked
from transforms.sinks.redis import RedisStreams

redis = pytest.importorskip("redis")
SECRET = b"a secret of enough bytes"


@pytest.fixture(scope="module")
def server():
    with running() as one:
        yield one


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url) as one:
        one.flushall()
        yield one


@pytest.fixture
def door(server, client):
    with serving(server.url, prompts=takes(server.url)) as one:
        yield one


def post(door, body, query="", **headers):
    """Return the status, the answer and the headers of a prompt."""
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {"Content-Type": "application/json", **headers}
    response = door.get(f"/prompts{query}", "POST", sent, **headers)
    return response.status, orjson.loads(response.read()), response.headers


def waiting(client):
    return [orjson.loads(fields[b"json"]) for _, fields in client.xrange("ritellm:prompts")]


def test_a_prompt_goes_into_the_stream_of_the_job_and_its_sender_learns_its_id(door, client):
    status, answer, headers = post(door, {"prompt": "Why?", "max_tokens": 5})
    assert (status, headers["Location"]) == (201, f"/streams/{answer['id']}")
    assert answer == {"id": answer["id"], "stream": headers["Location"]}
    assert waiting(client) == [{"id": answer["id"], "prompt": "Why?", "max_tokens": 5}]


def test_an_id_of_the_sender_is_kept_and_its_address_is_encoded(door, client):
    status, answer, headers = post(door, {"id": "a/ü?", "prompt": "Why?"})
    assert (status, answer["id"]) == (201, "a/ü?")
    assert headers["Location"] == answer["stream"] == "/streams/a%2F%C3%BC%3F"
    assert waiting(client) == [{"id": "a/ü?", "prompt": "Why?"}]


def test_a_prompt_that_is_sent_again_is_taken_once(door, client):
    first = post(door, {"id": "q", "prompt": "Why?"})
    again = post(door, b'{ "prompt": "Why?", "id": "q" }')
    assert (first[0], again[0], again[1]) == (201, 200, first[1])
    assert len(waiting(client)) == 1


def test_another_prompt_with_the_id_is_refused(door, client, server):
    post(door, {"id": "q", "prompt": "Why?"})
    status, answer, _ = post(door, {"id": "q", "prompt": "How?"})
    assert (status, answer["error"]["message"]) == (
        409,
        "another prompt has this id; ids must be unique",
    )
    RedisStreams(f"{server.url}?per_id=true")().publish(answer_of("begun"))
    assert post(door, {"id": "begun", "prompt": "Why?"})[0] == 409
    assert len(waiting(client)) == 1


def answer_of(id):
    return answer(id, "Hello", final=False)


def test_a_prompt_on_its_way_is_not_taken_beside_itself(door, client, server):
    digest = asked(b'{"id":"q","prompt":"Why?"}').digest
    client.set("ritellm:asked:q", f"putting {digest}")
    status, _, headers = post(door, {"id": "q", "prompt": "Why?"})
    assert (status, headers["Retry-After"]) == (409, "1")
    assert waiting(client) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "must be JSON"),
        (b"prompt", "must be JSON"),
        (b'{"prompt": "\xff"}', "must be JSON in UTF-8"),
        (b"[" * 100_000, "must be JSON"),
        (b'["prompt"]', "must be a JSON object"),
        ({}, "prompt"),
        ({"promt": "Why?"}, "must have 'prompt' or 'messages', got promt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "Why?", "id": ["q"]}, "'id' must be a printable text"),
        ({"prompt": "Why?", "id": ""}, "'id' must be a printable text"),
        ({"prompt": "Why?", "id": "a\nb"}, "'id' must be a printable text"),
        ({"prompt": "Why?", "id": "x" * 1001}, "'id' must be a printable text"),
        ({"prompt": "Why?", "id": "\u2028"}, "'id' must be a printable text"),
        ({"prompt": "Why?", "id": True}, "'id' must be a printable text"),
        ({"prompt": "Why?", "custom_id": {}}, "'custom_id' must be a printable text"),
        ({"prompt": "Why?", "api_key": "k"}, "may not set api_key"),
        ({"prompt": "Why?", "base_url": "http://x"}, "may not set base_url"),
        ({"error_type": "E", "message": "m", "input": {"prompt": "Why?"}}, "not a failed row"),
        (b'{"prompt": NaN}', "must be JSON"),
        (b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}", "m"),
    ],
)
def test_what_is_no_prompt_is_refused_with_its_reason(door, client, body, words):
    status, answer, _ = post(door, body)
    assert status == 400, answer
    assert words in answer["error"]["message"]
    assert answer["error"].keys() == {"message", "type", "code"}
    assert waiting(client) == []


def test_a_body_that_is_too_large_or_no_json_by_its_type_is_refused(door, client):
    assert post(door, {"prompt": "x" * (1 << 20)})[0] == 413
    assert post(door, {"prompt": "Why?"}, Content_Type="text/plain")[0] == 415
    assert post(door, {"prompt": "Why?"}, Content_Type="application/jsonp")[0] == 415
    assert post(door, {"prompt": "Why?"}, Content_Type="Application/JSON; charset=utf-8")[0] == 201
    assert len(waiting(client)) == 1


def test_pages_of_strangers_send_no_prompts(door, client):
    for origin in ("https://evil.example", "null"):
        assert post(door, {"prompt": "Why?"}, Origin=origin)[0] == 403
    assert post(door, {"prompt": "Why?"}, Host="evil.example")[0] == 403
    assert door.get("/prompts").status == 405
    assert waiting(client) == []


def test_a_client_that_sends_too_many_waits(server, client):
    with serving(server.url, prompts=takes(server.url, per_minute=2)) as door:
        assert [post(door, {"prompt": "Why?"})[0] for _ in range(2)] == [201, 201]
        status, answer, headers = post(door, {"prompt": "Why?"})
        assert (status, answer["error"]["code"]) == (429, 429)
        assert 1 <= int(headers["Retry-After"]) <= 30
    assert len(waiting(client)) == 2


def test_a_full_source_takes_nothing_and_the_id_stays_free(server, client):
    with serving(server.url, prompts=takes(server.url, most_waiting=1)) as door:
        assert post(door, {"prompt": "Why?"})[0] == 201
        status, answer, headers = post(door, {"id": "q", "prompt": "Why?"})
        assert (status, headers["Retry-After"]) == (503, "10")
        assert answer["error"]["message"] == "the source is full: 1 prompts are waiting"
        client.xtrim("ritellm:prompts", 0)
        assert post(door, {"id": "q", "prompt": "Why?"})[0] == 201


def test_without_redis_a_prompt_is_refused_and_can_be_sent_again():
    with running() as server, serving(server.url, prompts=takes(server.url)) as door:
        server.kill()
        status, answer, headers = post(door, {"id": "q", "prompt": "Why?"})
        assert (status, answer["error"]["code"]) == (503, 503)
        assert int(headers["Retry-After"]) >= 1
        server.start()
        assert post(door, {"id": "q", "prompt": "Why?"})[0] == 201


def test_a_token_to_send_prompts_reads_their_answers_only(server, client):
    soon = int(time.time()) + 60
    sends = tokens.sign_asker(SECRET, soon, may_read=False)
    with serving(server.url, SECRET, prompts=takes(server.url), wait_seconds=0.1) as door:
        status, got, _ = post(door, {"id": "q", "prompt": "Why?"}, Authorization=f"Bearer {sends}")
        assert status == 201
        RedisStreams(f"{server.url}?per_id=true")().publish(answer("q", "Because"))
        assert door.get(f"/streams/q?token={got['token']}").read() == b"Because"
        assert door.get(f"/streams/q/stop?token={got['token']}", "POST").status == 401
        for path in ("/streams/q", "/streams/other", "/streams"):
            assert door.get(f"{path}?token={sends}").status == 401
        assert door.get(f"/streams/other?token={got['token']}").status == 401


def test_other_tokens_send_no_prompts(server, client):
    soon, past = int(time.time()) + 60, int(time.time()) - 60
    refused = [
        "",
        "none",
        tokens.sign(SECRET, "q", soon, may_stop=True),
        tokens.sign(SECRET, None, soon, may_stop=True),
        tokens.sign_asker(SECRET, past, may_read=False),
        tokens.sign_asker(b"another secret, of 24 by", soon, may_read=True),
        # The rights are signed, too.
        tokens.sign(SECRET, None, soon).replace(".a.", ".aw."),
        tokens.sign(SECRET, "", soon).replace(".r.", ".w."),
    ]
    with serving(server.url, SECRET, prompts=takes(server.url)) as door:
        for token in refused:
            assert post(door, {"prompt": "Why?"}, f"?token={token}")[0] == 401
        everything = tokens.sign_asker(SECRET, soon, may_read=True, may_stop=True)
        status, got, _ = post(door, {"prompt": "Why?"}, f"?token={everything}")
        assert status == 201
        stop = f"/streams/{got['id']}/stop?token={got['token']}"
        assert door.get(stop, "POST").status == 202
    assert len(waiting(client)) == 1


def test_the_limit_is_for_each_token(server, client):
    soon = int(time.time()) + 60
    one, other = (tokens.sign_asker(SECRET, soon + n, may_read=False) for n in range(2))
    with serving(server.url, SECRET, prompts=takes(server.url, per_minute=1)) as door:
        assert [post(door, {"prompt": "Why?"}, f"?token={one}")[0] for _ in range(2)] == [201, 429]
        assert post(door, {"prompt": "Why?"}, f"?token={other}")[0] == 201


def test_the_id_column_of_the_job_gets_the_id(server, client):
    rows = RowForm(id_column="ticket")
    with serving(server.url, prompts=takes(server.url, rows)) as door:
        made = post(door, {"prompt": "Why?", "id": 7})[1]["id"]
        assert post(door, {"prompt": "Why?", "ticket": 12})[1]["id"] == "12"
    assert waiting(client) == [
        {"ticket": made, "prompt": "Why?", "id": 7},
        {"prompt": "Why?", "ticket": 12},
    ]


def test_numbers_beyond_64_bits_stay_as_they_are(door, client):
    assert post(door, b'{"prompt": "Why?", "of": 123456789012345678901234567890}')[0] == 201
    (entry,) = client.xrange("ritellm:prompts")
    assert b"123456789012345678901234567890" in entry[1][b"json"]


def test_no_prompt_and_no_id_is_in_the_log(server, client, caplog):
    caplog.set_level(logging.DEBUG)
    with serving(server.url, prompts=takes(server.url)) as door:
        post(door, {"id": "the-id", "prompt": "the-prompt"})
        client.delete("ritellm:prompts")
        client.set("ritellm:prompts", "not a stream")
        assert post(door, {"id": "another-id", "prompt": "the-prompt"})[0] == 503
    assert "cannot be used" in caplog.text
    assert not any(word in caplog.text for word in ("the-id", "another-id", "the-prompt"))


def test_a_server_that_takes_no_prompts_says_so(server, client):
    with serving(server.url) as door:
        status, answer, _ = post(door, {"prompt": "Why?"})
        assert (status, answer["error"]["type"]) == (404, "refused")
        assert "--prompts_to" in answer["error"]["message"]
        assert b'id="ask" hidden' in door.get("/").read()
        assert orjson.loads(door.get("/nothing").read())["error"]["code"] == 404


def test_the_page_has_a_box_for_prompts_if_they_are_taken(door):
    page = door.get("/").read()
    assert b'<form id="ask">' in page
