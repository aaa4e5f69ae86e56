"""Real runners in processes of their own; only `make test-runners` runs these tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from fake_server import FakeServer, Wait, chat_events, echo, stream

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # for examples.runners
sys.path.append(str(ROOT / "tests" / "services"))  # for a Kafka broker, and what goes through it

import kafka_broker  # noqa: E402
from models import Models  # noqa: E402
from programs import until  # noqa: E402
from prompts import answers as answers_of  # noqa: E402
from prompts import prompts, whole  # noqa: E402
from streaming_backends import KafkaPlace, RedisPlace  # noqa: E402

from examples.runners import tools  # noqa: E402
from examples.runners.flink import FlinkCluster  # noqa: E402
from examples.runners.processes import Processes, free_port, listens, start_pool  # noqa: E402


def pytest_ignore_collect(config):
    """Leave these tests out unless their folder is named."""
    return None if any("runners" in arg for arg in config.args) else True


@pytest.fixture(scope="session")
def prism():
    """The options that run a job on Prism."""
    try:
        return ["--runner=PrismRunner", f"--prism_location={tools.prism()}"]
    except tools.Missing as missing:
        pytest.skip(f"no Prism: {missing}")


@pytest.fixture(scope="session")
def flink(tmp_path_factory):
    """A Flink cluster: a job manager, two task managers, a job server."""
    try:
        tools.job_server()
        cluster = FlinkCluster(tmp_path_factory.mktemp("flink"))
        with cluster:
            yield cluster
    except tools.Missing as missing:
        pytest.skip(f"no Flink: {missing}")


@pytest.fixture(scope="session")
def kafka():
    """A Kafka broker."""
    pytest.importorskip("confluent_kafka", reason="the Kafka client is not installed")
    with kafka_broker.running() as broker:
        yield broker


@pytest.fixture
def processes(tmp_path):
    """Processes of a test's own, ended with it."""
    with Processes(tmp_path / "logs") as started:
        yield started


@pytest.fixture
def job_server(processes):
    """The options that give a job to Beam's job server in Python, in a process of its own."""
    port = free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    processes.start("jobservice", [sys.executable, "-m", module, "-p", str(port)])
    processes.wait_until(lambda: listens("127.0.0.1", port), "jobservice")
    return ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]


@pytest.fixture
def pool(processes):
    """The options that run a job's code in Python processes of a worker pool."""
    port = free_port()
    start_pool(processes, "workers", port, {"OPENAI_API_KEY": "sk-worker"})
    return ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]


@pytest.fixture
def models(processes):
    """A model server that can die and come back."""
    server = Models(processes, free_port())
    server.start()
    return server


@pytest.fixture
def source(kafka):
    """A Kafka topic that prompts come from."""
    with closing(KafkaPlace(kafka, f"prompts-{uuid4().hex}")) as place:
        yield place


@pytest.fixture
def deltas_in_kafka(kafka):
    with closing(KafkaPlace(kafka, f"deltas-{uuid4().hex}")) as place:
        yield place


@pytest.fixture
def deltas_in_redis(redis_server):
    return RedisPlace(redis_server, f"t{uuid4().hex}")


@pytest.fixture
def streaming(processes, models, tmp_path):
    """Return a function that starts `stream_complete`."""

    def start(*flags):
        config = tmp_path / "kafka.properties"
        config.write_text("# the broker notices a dead member soon\nsession.timeout.ms=6000\n")
        program = [sys.executable, "-m", "pipelines.stream_complete", "--model=openai/m"]
        program += [f"--base_url={models.base_url}", f"--kafka_config={config}"]
        environ = {"OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
        processes.start("stream", [*program, *flags], environ)

    return start


@pytest.fixture
def from_kafka_to_kafka(streaming, source, deltas_in_kafka, redis_server):
    """Return a function that starts it between two topics, with short turns."""
    where = [f"--source={source.source}", f"--deltas_to={deltas_in_kafka.spec}"]
    kept = [f"--journal={redis_server.url}", "--turn_seconds=1"]
    return lambda *flags: streaming(*where, *kept, *flags)


class HeldServer(FakeServer):
    """Responds to `free` requests at once; later responses begin, and pause until `go` is set."""

    def __init__(self, free):
        super().__init__(self._answer)
        self.free, self.go = free, threading.Event()

    def _answer(self, request):
        if len(self.requests) <= self.free or self.go.is_set():
            return echo(request)
        text = request.json["messages"][-1]["content"]
        events = chat_events(text)
        return stream(*events[:2], Wait(self.go), *events[2:])

    def asked(self):
        """Return how often each prompt was sent."""
        return Counter(request.json["messages"][-1]["content"] for request in self.requests)


class Job:
    """The program on numbered rows, in a process of its own."""

    def __init__(self, server, folder, prefix=()):
        self.out = folder / "out"
        self._input, self._log = folder / "in.jsonl", folder / "job.log"
        self._command = [*prefix, sys.executable, "-m", "pipelines.batch_complete"]
        self._command += ["--input", str(self._input)]
        self._command += ["--output", str(self.out), "--model", "openai/m"]
        self._command += ["--base_url", server if isinstance(server, str) else server.base_url]

    def start(self, rows, *flags, cwd=ROOT):
        """Start on `rows` rows, and one more that cannot be read."""
        lines = [orjson.dumps({"id": f"r{n}", "prompt": f"one two {n}"}) for n in range(rows)]
        self.rows = rows
        return self._start_on([*lines, b"nonsense"], flags, cwd)

    def start_on(self, rows, *flags):
        """Start on these rows."""
        return self._start_on(map(orjson.dumps, rows), flags, ROOT)

    def _start_on(self, lines, flags, cwd):
        self._input.write_bytes(b"\n".join(lines))
        environ = {**os.environ, "OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*self._command, *flags], cwd=cwd, env=environ, stdout=log, stderr=log
            )
        return self

    def interrupt(self):
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, seconds=150):
        """Return the exit status."""
        try:
            return self._process.wait(timeout=seconds)
        finally:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self):
        return self._process.pid

    def children(self, name):
        """Return the ids of the processes that the program has started, those called `name`."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        ids = [id for thread in threads for id in (thread / "children").read_text().split()]
        return [int(id) for id in ids if Path(f"/proc/{id}/comm").read_text().strip() == name]

    @property
    def said(self):
        return self._log.read_text(errors="replace")

    def lines(self, name):
        files = sorted(self.out.glob(f"{name}-*.jsonl"))
        return [orjson.loads(row) for file in files for row in file.read_bytes().splitlines()]

    def assert_whole(self):
        """Assert that each row came out once, with its own completion."""
        expected = {f"r{n}": f"one two {n}" for n in range(self.rows)}
        completions = self.lines("completions")
        assert {row["id"]: row["text"] for row in completions} == expected, self.said[-3000:]
        assert len(completions) == self.rows
        assert [row["error_type"] for row in self.lines("failed")] == ["RowError"]
        report = orjson.loads((self.out / "report.json").read_bytes())
        assert (report["completed"], report["failed"]) == (self.rows, 1)
        # A busy cluster may run a bundle again; its rows come from the journal.
        known = r"( \(\d+ from the journal\))?"
        assert re.search(f"{self.rows + 1} rows: {self.rows} completed{known}, 1 failed", self.said)
        return report


def assert_live(held, processes, *flags):
    """Assert that deltas come out while the streams are open, and sum up to the completions."""
    prompts = {f"p{n}": f"one two {n}" for n in range(5)}
    source = held.out.parent / "prompts.jsonl"
    rows = [orjson.dumps({"id": id, "prompt": text}) + b"\n" for id, text in prompts.items()]
    source.write_bytes(b"".join(rows))
    held.server.free = 0
    program = [sys.executable, "-m", "pipelines.stream_complete", "--source=stdin"]
    program += [f"--deltas_to=jsonl:{held.out}", "--model=openai/m"]
    program += [f"--base_url={held.server.base_url}", *flags]
    environ = {"OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
    processes.start("stream", program, environ, stdin=source)
    processes.wait_until(lambda: texts(held, "deltas").keys() == prompts.keys(), "stream", 90)
    assert held.server.open_streams == 5
    held.server.go.set()
    assert processes.wait("stream", 90) == 0, processes.tail("stream")
    assert texts(held, "deltas") == prompts


def told(deltas):
    """Return the ids of the prompts whose completions have begun."""
    return {delta["id"] for delta in deltas.received()["delta"]}


def assert_turns(start, source, deltas, models):
    """Assert that each turn publishes deltas while streams are open, and then settles them."""
    start()
    for count in (5, 10, 15):  # a message is settled at most a second after its completion
        models.hold()
        source.send(*prompts(5, start=count - 5))
        until(lambda count=count: told(deltas) == answers_of(count).keys(), 90)
        assert models.open == 5
        models.go()
        until(lambda count=count: whole(deltas) == answers_of(count), 90)
        until(lambda count=count: source.settled() == count, 90)
    assert len(models.asked) == 15


def assert_a_stream_survives_its_worker(start, source, deltas, models, processes, wait_for_end):
    """Kill the worker with streams open: the job ends, and the same command resumes."""
    models.hold()
    source.send(*prompts(5, start=15))
    until(lambda: models.open == 5, 90)
    for worker in processes.children("workers"):
        os.kill(worker, signal.SIGKILL)
    wait_for_end()
    models.go()
    start()
    until(lambda: whole(deltas) == answers_of(20) and source.settled() == 20, 90)
    assert len(models.asked) == 15 + 5 + 5


def assert_ctrl_c_keeps_what_was_paid_for(held, *flags):
    """Assert that Ctrl-C ends the job, and the same command resumes from the journal."""
    held.start(100, *flags, "--max_in_flight=20")
    held.server.wait_until(lambda: held.server.open_streams == 20, 60)
    held.interrupt()
    assert held.wait() == 130, held.said
    assert held.said.splitlines()[-1].endswith("the same command resumes from the journal")
    held.server.wait_until(lambda: held.server.open_streams == 0, 30)
    paid = len(held.server.requests) - 20
    held.server.go.set()
    assert held.start(100, *flags).wait() == 0, held.said
    assert held.assert_whole()["replayed"] >= paid - 1
    assert len(held.server.requests) <= 100 + 20


def assert_a_model_server_may_die(models, folder, *flags, rows=70):
    """Restart the model server: only the rows whose responses broke off are sent again."""
    job = Job(models.base_url, folder).start(rows, *flags)
    until(lambda: models.open >= 50, 90)
    models.restart()
    models.go()
    assert job.wait() == 0, job.said[-3000:]
    job.assert_whole()
    asked = Counter(models.asked)
    assert max(asked.values()) == 2
    assert 50 <= len(models.asked) - rows <= 60  # those that were in flight


def assert_windowed_and_counted(fake_server, folder, *flags, windows="fixed", since=0):
    """Assert that each prompt is sent once, assembled in its windows, and counted.

    The windows of a prompt start between `since` hours before its own hour and that.
    """
    program = [sys.executable, str(ROOT / "tests" / "runners" / "windowed.py")]
    environ = {**os.environ, "OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
    command = [*program, str(folder / "out.json"), fake_server.base_url, windows, *flags]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    [written] = folder.glob("out.json*")
    rows = sorted(map(orjson.loads, written.read_bytes().splitlines()))
    hours = {n: range(n % 2 + since, n % 2 + 1) for n in range(10)}
    assert rows == [[f"p{n}", f"one two {n}", hour] for n in range(10) for hour in hours[n]]
    assert len(fake_server.requests) == 10
    assert int(re.search(r"deltas counted: (\d+)", done.stdout)[1]) >= 10 * len("one two n".split())


def texts(job, name):
    """Return what the deltas in `name` sum up to, by id."""
    found = {}
    for delta in sorted(job.lines(name), key=lambda delta: delta["seq"]):
        found[delta["id"]] = found.get(delta["id"], "") + delta["text"]
    return found


@pytest.fixture
def job(fake_server, tmp_path):
    """The program, with a fake server."""
    return Job(fake_server, tmp_path)


@pytest.fixture
def held(tmp_path):
    """The program, with a server that pauses all streams after the 40th until `go` is set."""
    with HeldServer(free=40) as server:
        held_job = Job(server, tmp_path)
        held_job.server = server
        yield held_job
        server.go.set()


def assert_a_judge_is_live(fake_server, processes, folder, *flags):
    """Assert that a judge's deltas are out while a generation of the same stage still lasts."""
    judged = threading.Event()

    def script(request):
        first, *rest = chat_events("fine")
        is_slow = request.json["messages"][-1]["content"] == "slow"
        return stream(first, Wait(judged), *rest) if is_slow else stream(first, *rest)

    fake_server.script = script
    out = folder / "deltas.txt"
    program = [sys.executable, str(ROOT / "tests" / "runners" / "chained.py")]
    environ = {"OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
    processes.start("chain", [*program, str(out), fake_server.base_url, *flags], environ)
    processes.wait_until(lambda: out.exists() and out.read_text(), "chain", 90)
    assert out.read_text() == "quick fine\n"
    judged.set()
    assert processes.wait("chain", 90) == 0, processes.tail("chain")
    assert out.read_text() == "quick fine\nslow fine\n"
