"""Two hosts, as network namespaces with a cable between them: the cable is cut in mid-job."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Job

from examples.runners.processes import free_port, start_pool

RUNNER, WORKERS = "ritellm-runner", "ritellm-workers"
RUNNER_ADDRESS, WORKERS_ADDRESS = "10.201.77.1", "10.201.77.2"


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def clear():
    for name in (RUNNER, WORKERS):
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


@pytest.fixture
def hosts():
    """Two hosts that see each other and nothing else."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and `ip`")
    clear()
    names = f"127.0.0.1 localhost\n{RUNNER_ADDRESS} runner.test {socket.gethostname()}\n"
    try:
        for name in (RUNNER, WORKERS):
            ip("netns", "add", name)
            folder = Path(f"/etc/netns/{name}")  # /etc/hosts as this namespace sees it
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(names)
        cable = ["link", "add", "cable", "netns", RUNNER, "type", "veth"]
        ip(*cable, "peer", "cable", "netns", WORKERS)
        for name, address in ((RUNNER, RUNNER_ADDRESS), (WORKERS, WORKERS_ADDRESS)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
    except OSError as error:
        clear()
        pytest.skip(f"no network namespaces here: {error}")
    yield
    clear()


def on(host):
    return ["ip", "netns", "exec", host]


def answers_on(host, port):
    look = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    done = subprocess.run([*on(host), sys.executable, "-c", look], capture_output=True)
    return done.returncode == 0


def test_a_host_that_is_cut_off_comes_back_and_each_prompt_comes_out_once(
    hosts, processes, tmp_path
):
    endpoint, pool, models = (free_port() for _ in range(3))
    service = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", service, "-p", str(endpoint)]
    processes.start("jobservice", [*on(RUNNER), *command])
    start_pool(processes, "workers", pool, {"OPENAI_API_KEY": "sk-worker"}, on(WORKERS))
    server = [sys.executable, "-m", "benchmarks.servers", "--mode=paced"]
    server += ["--chunks=100", "--gap-ms=30", f"--port={models}"]
    processes.start("models", [*on(WORKERS), *server])
    processes.wait_until(lambda: answers_on(RUNNER, endpoint), "jobservice")
    processes.wait_until(lambda: answers_on(WORKERS, pool), "workers")

    job = Job(f"http://127.0.0.1:{models}/v1", tmp_path, prefix=on(RUNNER))
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{endpoint}"]
    flags += ["--environment_type=EXTERNAL", f"--environment_config={WORKERS_ADDRESS}:{pool}"]
    job.start(150, *flags, "--max_in_flight=50")
    processes.wait_until(lambda: (tmp_path / "out" / "journal").exists(), "models", 90)
    ip("-n", WORKERS, "link", "set", "cable", "down")
    time.sleep(4)  # the answers in flight take this long: they end while the hosts are disconnected
    ip("-n", WORKERS, "link", "set", "cable", "up")
    if job.wait() != 0:  # cut off for too long for this runner; the same command resumes
        assert job.start(150, *flags, "--max_in_flight=50").wait() == 0, job.said
    stats = f"http://127.0.0.1:{models}/stats"
    look = f"import urllib.request as u; print(u.urlopen('{stats}').read())"
    said = subprocess.run(
        [*on(WORKERS), sys.executable, "-c", look], capture_output=True, text=True
    )
    asked = json.loads(re.search(r"{.*}", said.stdout)[0])["requests"]
    assert 150 <= asked <= 150 + 50
    completions = job.lines("completions")
    assert len(completions) == 150
    assert {row["id"] for row in completions} == {f"r{n}" for n in range(150)}
