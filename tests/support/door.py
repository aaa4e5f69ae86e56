"""A server of deltas in a thread of a test, readers of it, and the deltas of an answer."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from contextlib import contextmanager
from urllib.parse import quote

import orjson

from pipelines.serve_deltas.access import Access
from pipelines.serve_deltas.app import Bounds, Door
from pipelines.serve_deltas.server import Server, listen
from pipelines.serve_deltas.stores.redis import RedisStore
from transforms import Delta

SECONDS = 60


def submission(order=1, nonce="5f3c9a01b7e4"):
    return f"9f86d081884c7d65.{0x0197A3C5E2B0 + order:012x}.{nonce}"


def answer(id, *texts, order=1, attempt=1, reason="stop", usage=None, final=True):
    """Return the deltas of an answer; without `final`, as far as `texts` go."""
    rows = [({"content": text}, None, None) for text in texts]
    if final:
        rows.append(({}, reason, usage))
    deltas = []
    for seq, (delta, end, counts) in enumerate(rows):
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
        json = orjson.dumps({**chunk, **({"usage": counts} if counts else {})}).decode()
        text = delta.get("content", "")
        deltas.append(Delta(id, attempt, seq, text, end, json, submission=submission(order)))
    if final:
        empty = '{"object":"chat.completion.chunk","choices":[]}'
        name = submission(order)
        deltas.append(Delta(id, attempt, len(rows), "", None, empty, True, "{}", None, name))
    return deltas


class RunningDoor:
    """A server on a port of its own."""

    def __init__(self, store, access, bounds, port=0, prompts=lambda access: None):
        self._store, self._access, self._bounds = store, access, bounds
        self._prompts = prompts
        self._began = threading.Event()
        self._listener = listen("127.0.0.1", port)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run)
        self._responses = []

    def start(self):
        self._thread.start()
        assert self._began.wait(SECONDS)

    def stop(self):
        self.server.stop()
        self._thread.join()

    def close(self):
        for response in self._responses:
            response.close()

    def _run(self):
        async def serve():
            prompts = self._prompts(self._access)
            self.door = Door(self._store(), self._access, self._bounds, prompts)
            self.server = Server(self.door, self._listener)
            with self._listener:
                await self.server.serve_until_stopped(self._began.set)

        asyncio.run(serve())

    def get(self, path, method="GET", body=None, **headers):
        """Return the response of a request; read it with `events` or `read`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Connection": "close", **sent})
        self._responses.append(connection.getresponse())
        return self._responses[-1]

    def events(self, id, position=None, query=""):
        """Return the events of a stream, one by one, as an `EventSource` gets them."""
        headers = {"Accept": "text/event-stream"}
        if position is not None:
            headers["Last-Event-ID"] = position
        return events_of(self.get(f"/streams/{quote(id, safe='')}{query}", **headers))


@contextmanager
def serving(url, secret=None, origins=(), port=0, prompts=lambda access: None, **bounds):
    """Serve the deltas of the Redis server at `url`; `prompts` makes what takes prompts."""
    access, bounds = Access(secret, origins), Bounds(**bounds)
    door = RunningDoor(lambda: RedisStore(url), access, bounds, port, prompts)
    door.start()
    try:
        yield door
    finally:
        door.stop()
        door.close()


def events_of(response):
    """Yield (event, data, id) of each event."""
    assert response.status == 200, (response.status, response.read())
    with response:
        yield from events_in(response)


def events_in(lines):
    """Yield (event, data, id) of each event that is complete."""
    fields = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name and value:
            fields[name] = value
        elif line.endswith(b"\n") and "data" in fields:
            yield fields.get("event", "message"), orjson.loads(fields["data"]), fields.get("id")
            fields = {}


class Page:
    """What a web page has of an answer, by the rules of docs/serving.md."""

    def __init__(self):
        self.text, self.resets, self.end, self.position = "", 0, None, None

    def take(self, events, most=None):
        """Take events, at most so many; return whether the answer has ended."""
        for number, (name, data, id) in enumerate(events, 1):
            self.position = id or self.position
            if name == "message":
                self.text += data.get("text", "")
            elif name == "reset":
                self.text, self.resets = "", self.resets + 1
            elif name == "end":
                self.end = data
            if self.end or number == most:
                break
        return self.end is not None


def until(condition, seconds=SECONDS):
    """Return what `condition` returns once that is true."""
    patience = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < patience, "it did not happen in time"
        time.sleep(0.005)
    return found
