"""Servers of deltas that also take prompts: in a process of their own, or in a test."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import orjson
from door import events_of

from pipelines.inputs.row_form import RowForm
from pipelines.serve_deltas.prompts.claims.redis import RedisClaims
from pipelines.serve_deltas.prompts.endpoint import Prompts
from pipelines.serve_deltas.prompts.intake import asked
from pipelines.serve_deltas.prompts.queues.redis import RedisQueue

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


class DoorProgram:
    """`python -m pipelines.serve_deltas` on a port; it can die and come back there."""

    def __init__(self, url, *flags, port=0, env=None):
        self._command = [sys.executable, "-m", "pipelines.serve_deltas", f"--from={url}", *flags]
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self.port = port
        self._process = None
        self._responses = []

    def start(self):
        command = [*self._command, f"--listen=127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(
            command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("answers:"):
                self.port = int(line.rpartition(":")[2].partition("/")[0])
                return
        raise AssertionError(f"the server ended: {said}")

    def kill(self):
        """Die at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def close(self):
        for response in self._responses:
            response.close()
        self.kill()

    def get(self, path, method="GET", body=None, **headers):
        """Return the response of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Connection": "close", **sent})
        self._responses.append(connection.getresponse())
        return self._responses[-1]

    def events(self, id, position=None):
        """Return the events of a stream, one by one."""
        headers = {"Accept": "text/event-stream"}
        if position is not None:
            headers["Last-Event-ID"] = position
        return events_of(self.get(f"/streams/{quote(id, safe='')}", **headers))


@contextmanager
def door_at(url, *flags, port=0, env=None):
    """Run the server for the Redis at `url`."""
    door = DoorProgram(url, *flags, port=port, env=env)
    door.start()
    try:
        yield door
    finally:
        door.close()


def post(door, prompt, **headers):
    """Send a prompt; return the status and the answer."""
    headers = {"Content-Type": "application/json", **headers}
    response = door.get("/prompts", "POST", orjson.dumps(prompt), **headers)
    return response.status, orjson.loads(response.read())


def text_of(door, id):
    """Return the whole text of an answer."""
    response = door.get(f"/streams/{quote(id, safe='')}?as=text")
    body = response.read().decode()
    assert response.status == 200, body
    return body


def takes(url, rows=None, per_minute=60, most_waiting=100, queue=None):
    """Return what makes the part of a server that takes prompts."""
    return lambda access: Prompts(
        RedisQueue(queue or url, most_waiting),
        RedisClaims(url),
        partial(asked, rows=rows or RowForm()),
        access,
        per_minute=per_minute,
        valid_seconds=600,
    )
