"""A real Kafka broker of one node (KRaft), from Maven: nothing but Java and Maven is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import Server, free_port

POM = Path(__file__).with_name("kafka.pom.xml")
FETCH_SECONDS = 300
JAVA = "java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp".split()
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
log.cleaner.dedupe.buffer.size=10485760
"""


def jars() -> Path:
    """Return the folder with the broker's jars (43 MB), fetched by Maven the first time."""
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ritellm" / f"kafka-{version}"
    if folder.is_dir():
        return folder
    if shutil.which("mvn") is None:
        pytest.skip("the Kafka broker is not in the cache, and Maven is not installed to fetch it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fetched:
        command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={fetched}/jars"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS)
        if done.returncode:
            pytest.skip(f"Maven cannot fetch the Kafka broker: {done.stdout[-300:]}")
        Path(fetched, "jars").rename(folder)
    return folder


@contextmanager
def running() -> Iterator[Server]:
    """Run a broker; skips the test where there is none to run."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed")
    java = [*JAVA, f"{jars()}/*"]
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        port, settings = free_port(), Path(folder, "server.properties")
        settings.write_text(PROPERTIES.format(port=port, controller=free_port(), folder=folder))
        storage = ["kafka.tools.StorageTool", "format", "-t", "A" * 22, "-c", str(settings)]
        subprocess.run([*java, *storage], check=True, capture_output=True)
        broker = Server([*java, "kafka.Kafka", str(settings)], port, Path(folder, "log"))
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()
