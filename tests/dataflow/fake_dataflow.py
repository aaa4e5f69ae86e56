"""Google's side of a submission, on loopback: the Dataflow service, and a bucket to look into.

The service takes jobs, says that they are done, and keeps what it was sent. It runs nothing.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

FAILURE = {
    "id": "1",
    "time": "2026-01-01T00:00:00Z",
    "messageText": "Workflow failed. Causes: the quota of CPUs is used up.",
    "messageImportance": "JOB_MESSAGE_ERROR",
}


class FakeDataflow:
    """The REST service; `jobs`, `launches` and `changes` are the bodies that were sent.

    `states` are what a job is found in when it is asked for, one after the other; the last stays.
    `running` are the jobs that it has besides, names by id.
    """

    def __init__(self, *states: str) -> None:
        self.states = list(states or ("JOB_STATE_RUNNING", "JOB_STATE_DONE"))
        self.states_asked: list[str] = []
        self.jobs: list[dict[str, Any]] = []
        self.launches: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.running: dict[str, str] = {}
        self.submitted_at = 0.0  # by time.monotonic
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """What `--dataflow_endpoint` gets; Beam speaks REST to a "localhost" only."""
        return f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> FakeDataflow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any] | None:
        """Return the answer to a request, or None for one that the service does not know."""
        if method == "POST" and path.endswith("/flexTemplates:launch"):
            self.launches.append(json.loads(body))
            return {"job": {"id": "launched", "currentState": "JOB_STATE_QUEUED"}}
        if method == "POST" and path.endswith("/jobs"):
            self.submitted_at = time.monotonic()
            self.jobs.append(json.loads(body))
            return {**self.jobs[-1], "id": "job-1", "currentState": "JOB_STATE_PENDING"}
        if method == "GET" and path.endswith("/jobs"):
            running = {"currentState": "JOB_STATE_RUNNING"}
            return {"jobs": [{"id": id, "name": n, **running} for id, n in self.running.items()]}
        if method == "PUT" and "/jobs/" in path:
            self.changes.append({"id": path.rpartition("/")[2], **json.loads(body)})
            return self.changes[-1]
        if method == "GET" and path.endswith("/jobs/job-1"):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            self.states_asked.append(state)
            return {"id": "job-1", "currentState": state}
        if method == "GET" and path.endswith("/jobs/job-1/messages"):
            return {"jobMessages": [FAILURE] if self.states == ["JOB_STATE_FAILED"] else []}
        return None


def _handler_of(service: FakeDataflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            found = service.answer(self.command, self.path.partition("?")[0], body)
            data = json.dumps(found or {}).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class Bucket:
    """One bucket of the emulator at `host`, over its REST interface."""

    def __init__(self, host: str, name: str) -> None:
        self._host = host
        self._name = name

    def put(self, path: str, data: bytes) -> str:
        """Store an object; return its gs:// address."""
        place = f"upload/storage/v1/b/{self._name}/o?uploadType=media&name={quote(path, safe='')}"
        headers = {"content-type": "application/octet-stream"}
        with urlopen(Request(f"{self._host}/{place}", data, headers)):
            return f"gs://{self._name}/{path}"

    def get(self, path: str) -> bytes:
        """Return an object."""
        place = f"storage/v1/b/{self._name}/o/{quote(path, safe='')}?alt=media"
        with urlopen(f"{self._host}/{place}") as answer:
            return bytes(answer.read())

    def names(self, ending: str = "") -> list[str]:
        """Return the objects whose names end so."""
        with urlopen(f"{self._host}/storage/v1/b/{self._name}/o") as answer:
            items = json.loads(answer.read()).get("items", [])
        return [item["name"] for item in items if item["name"].endswith(ending)]

    def one(self, ending: str) -> bytes:
        """Return the only object whose name ends so."""
        [name] = self.names(ending)
        return self.get(name)
