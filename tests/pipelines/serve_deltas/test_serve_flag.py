"""The answers of a job of this process, without Redis: `stream_complete --serve`, and its store."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from door import answer
from fake_server import Stall, chat_events, stream

from pipelines.errors import UsageError
from pipelines.serve_deltas.stores.process import ProcessStore
from pipelines.stream_complete import Program
from transforms import DeadLetter

ROOT = Path(__file__).resolve().parents[3]


def texts(fed):
    """Return the text of each id that was fed."""
    found = {}
    for id, pieces in fed:
        found[id] = found.get(id, "") + "".join(piece.text for piece in pieces)
    return found


async def started(store):
    fed, lost = [], []
    await store.start(lambda id, pieces: fed.append((id, list(pieces))), lost.append)
    return fed, lost


def failure(id):
    return DeadLetter(id, "{}", "RateLimitError", "no", 429, True, 1, "")


def test_a_page_reads_and_stops_the_answer_of_a_job_without_redis(fake_server):
    fake_server.enqueue(stream(*chat_events(["Hello", " there"])[:3], Stall()))
    command = [sys.executable, "-m", "pipelines.stream_complete", "--source", "stdin"]
    flags = ["--model", "openai/m", "--base_url", fake_server.base_url, "--serve", "0"]
    process = subprocess.Popen(
        [*command, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "a key"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        line = next(line for line in process.stderr if "read the answers at http://" in line)
        port = int(line.rpartition(":")[2].strip().rstrip("/"))
        process.stdin.write("Hi\n")
        process.stdin.flush()
        url = f"http://127.0.0.1:{port}/streams"
        with urllib.request.urlopen(url, b"{}", timeout=60) as response:
            lines = (orjson.loads(line) for line in response if line.strip())
            text = ""
            while text != "Hello there":
                news = next(lines)
                text += news.get("text", "")
            stop = f"{url}/{quote(news['id'], safe='')}/stop"
            with urllib.request.urlopen(stop, b"", timeout=60) as stopped:
                assert stopped.status == 202
            assert next(line for line in lines if "end" in line)["end"]["outcome"] == "stopped"
        process.stdin.close()
        assert process.wait(60) == 0
    assert (len(fake_server.requests), fake_server.cancelled) == (1, 1)


def test_a_job_without_redis_takes_prompts_over_http_until_ctrl_c(fake_server):
    fake_server.script = lambda request: stream(*chat_events(["Because", "."]))
    command = [sys.executable, "-m", "pipelines.stream_complete", "--source", "stdin"]
    flags = ["--model", "openai/m", "--base_url", fake_server.base_url, "--serve", "0"]
    process = subprocess.Popen(
        [*command, *flags, "--serve_prompts"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "a key"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        line = next(line for line in process.stderr if "read the answers at http://" in line)
        url = line.rpartition(" ")[2].strip().rstrip("/")
        with urllib.request.urlopen(f"{url}/", timeout=60) as page:
            assert b'<form id="ask">' in page.read()

        def send(**prompt):
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}/prompts", orjson.dumps(prompt), headers)
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, orjson.loads(response.read())

        status, sent = send(prompt="Why?")
        assert status == 201
        with urllib.request.urlopen(f"{url}{sent['stream']}?as=text", timeout=60) as response:
            assert response.read() == b"Because."
        assert [send(prompt="How?", id="q")[0] for _ in range(2)] == [201, 200]
        with urllib.request.urlopen(f"{url}/streams/q?as=text", timeout=60) as response:
            assert response.read() == b"Because."
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert len(fake_server.requests) == 2


def test_prompts_are_taken_with_a_page_only():
    with pytest.raises(UsageError, match="--serve_prompts needs --serve"):
        Program(["--source", "stdin", "--model", "openai/m", "--serve_prompts"]).run()


def test_a_job_on_other_machines_cannot_be_served():
    command = ["--source", "kafka:h:1/t", "--deltas_to", "redis://h/0", "--model", "openai/m"]
    elsewhere = ["--runner", "FlinkRunner", "--flink_master", "h:8081", "--serve"]
    with pytest.raises(UsageError, match="--serve serves the answers of this process"):
        Program([*command, *elsewhere]).run()


def test_the_store_feeds_what_it_has_and_then_what_it_gains():
    async def read():
        store = ProcessStore(lambda id: None)
        fed, _ = await started(store)
        deltas = answer("one", "a", "b", "c")
        store.publish(deltas[:1])
        await store.open("one")
        await asyncio.to_thread(store.publish, deltas[1:])
        await asyncio.to_thread(store.publish, deltas)  # a retry of the batch
        await asyncio.sleep(0)
        return texts(fed)

    assert asyncio.run(read()) == {"one": "abc"}


def test_the_store_lists_the_newest_first_and_marks_another_beginning():
    store = ProcessStore(lambda id: None)
    store.publish([*answer("one", "a"), *answer("two", "b")])
    two, one = asyncio.run(store.lately(5))
    store.publish(answer("one", "new", order=2))
    again, same = asyncio.run(store.lately(5))
    assert (two.id, one.id, again.id, same) == ("two", "one", "one", two)
    assert again.mark != one.mark
    assert [begun.id for begun in asyncio.run(store.lately(1))] == ["one"]


def test_the_store_is_bounded_and_ended_answers_go_first():
    async def fill():
        store = ProcessStore(lambda id: None, most_streams=3)
        _, lost = await started(store)
        growing = [answer(f"g{number}", "x", final=False) for number in range(2)]
        await store.open("g0")
        store.publish([delta for deltas in growing for delta in deltas])
        store.publish([*answer("e0", "x"), *answer("e1", "x")])
        ids = [begun.id for begun in await store.lately(9)]
        store.publish([answer(f"h{number}", "x", final=False)[0] for number in range(2)])
        await asyncio.sleep(0)
        return ids, [begun.id for begun in await store.lately(9)], lost

    assert asyncio.run(fill()) == (["e1", "g1", "g0"], ["h1", "h0", "g1"], ["g0"])


def test_the_store_is_bounded_by_its_characters():
    store = ProcessStore(lambda id: None, most_chars=50_000)
    for number in range(20):
        store.publish(answer(f"q{number}", "x" * 5_000))
    assert [begun.id for begun in asyncio.run(store.lately(99))] == ["q19", "q18", "q17", "q16"]


@pytest.mark.parametrize("deltas", [[], answer("q", "half", final=False), answer("q", "whole")])
def test_a_failure_ends_the_answer_of_its_id(deltas):
    async def read():
        store = ProcessStore(lambda id: None)
        fed, _ = await started(store)
        store.publish([*deltas, failure("q")])
        await store.open("q")
        return fed[-1][1][-1]

    last = asyncio.run(read())
    assert (last.failed, last.ends) == ("RateLimitError", True)


def test_halves_of_surrogate_pairs_reach_no_reader():
    async def read():
        store = ProcessStore(lambda id: None)
        fed, _ = await started(store)
        store.publish([delta._replace(id="q\ud800") for delta in answer("q", "a")])
        await store.open("q?")
        return texts(fed)

    assert asyncio.run(read()) == {"q?": "a"}
