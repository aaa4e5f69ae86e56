"""Runs a Flink cluster as processes of this machine: a job manager and task managers, no Docker.

with FlinkCluster(Path("/tmp/flink")) as cluster:
    subprocess.run([*program, *cluster.flags()])
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.runners import tools
from examples.runners.processes import Processes, free_port, listens, start_pool

_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"

# The packages of Java 17 that Flink's own scripts open (env.java.opts.all in conf/config.yaml).
_OPEN_PACKAGES = [
    f"--add-opens=java.base/java.{package}=ALL-UNNAMED"
    for package in (
        *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "text", "time"),
        *("util", "util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
    )
] + ["--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"]

_LOG = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1} %m%n
"""

# Heaps of 256 MB are enough for jobs whose work is done in Python workers.
_MEMORY = {
    "taskmanager.memory.framework.heap.size": "96m",
    "taskmanager.memory.task.heap.size": "160m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.jvm-metaspace.size": "192m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
}


class FlinkCluster:
    """Runs during its `with` block; logs and settings go to `folder`."""

    def __init__(self, folder: Path, task_managers: int = 2, slots: int = 1) -> None:
        self.rest_port = free_port()
        self.folder = folder
        self._names = [f"taskmanager-{n}" for n in range(1, task_managers + 1)]
        self._slots = slots
        self._rpc_port = free_port()
        self._job_port = free_port()
        self._pool_port = free_port()
        self._processes = Processes(folder)

    @property
    def web(self) -> str:
        """The address of Flink's web page."""
        return f"http://127.0.0.1:{self.rest_port}"

    def __enter__(self) -> FlinkCluster:
        self._jars = tools.flink()
        (self.folder / "log4j-console.properties").write_text(_LOG)
        settings = "".join(f"{name}: {value}\n" for name, value in self._settings().items())
        (self.folder / "config.yaml").write_text(settings)
        self._processes.__enter__()
        try:
            self._java("jobmanager", "-Xmx384m", _JOB_MANAGER, "--host", "127.0.0.1")
            for name in self._names:
                self.start(name)
            self._start_job_server()
            self.wait_for(len(self._names))
        except BaseException:
            self._processes.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._processes.__exit__()

    def start(self, name: str) -> None:
        """Start the task manager `name`."""
        self._java(name, "-Xmx256m", _TASK_MANAGER)

    def kill(self, name: str) -> None:
        """Kill a process of the cluster at once."""
        self._processes.kill(name)

    def wait_for(self, task_managers: int) -> None:
        """Return once this number of task managers has registered."""
        self._processes.wait_until(
            lambda: self._registered() == task_managers, "jobmanager", seconds=90
        )

    def flags(self, parallelism: int | None = None) -> list[str]:
        """Return the Beam options that run a job here; its workers are threads of the program."""
        return [
            "--runner=FlinkRunner",
            f"--flink_master=127.0.0.1:{self.rest_port}",
            f"--job_endpoint=127.0.0.1:{self._job_port}",
            "--environment_type=LOOPBACK",
            # Keep workers from one stage to the next; one that ends in between may still be busy.
            "--environment_cache_millis=2000",
            f"--parallelism={parallelism or len(self._names) * self._slots}",
        ]

    def flags_of_pool(
        self, environ: Mapping[str, str], parallelism: int | None = None
    ) -> list[str]:
        """Return the options that run a job in separate Python processes, started on demand."""
        if "workers" not in self._processes:
            start_pool(self._processes, "workers", self._pool_port, environ)
        flags = self.flags(parallelism)
        flags.remove("--environment_type=LOOPBACK")
        pool = f"--environment_config=127.0.0.1:{self._pool_port}"
        return [*flags, "--environment_type=EXTERNAL", pool]

    def workers(self) -> list[int]:
        """Return the process ids of the Python workers."""
        return self._processes.children("workers")

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs of this cluster, including those that have ended."""
        found: list[dict[str, Any]] = self.get("/jobs/overview")["jobs"]
        return found

    def get(self, path: str) -> Any:
        """Return the JSON response of Flink's REST interface for `path`."""
        with urllib.request.urlopen(self.web + path, timeout=10) as response:
            return json.loads(response.read())

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes so far."""
        return self._processes.cpu_seconds()

    def tail(self, name: str, lines: int = 40) -> str:
        """Return the end of the log of a process."""
        return self._processes.tail(name, lines)

    def _registered(self) -> int:
        try:
            return len(self.get("/taskmanagers")["taskmanagers"])
        except OSError:
            return 0

    def _start_job_server(self) -> None:
        jar, there = tools.job_server(), f"127.0.0.1:{self.rest_port}"
        ports = [f"--job-port={self._job_port}", "--artifact-port=0", "--expansion-port=0"]
        kept = f"--artifacts-dir={self.folder}/artifacts"
        memory = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = ["java", *memory, "-jar", str(jar), f"--flink-master={there}", kept, *ports]
        self._processes.start("jobserver", command)
        self._processes.wait_until(lambda: listens("127.0.0.1", self._job_port), "jobserver")

    def _java(self, name: str, heap: str, main: str, *arguments: str) -> None:
        log = f"-Dlog4j.configurationFile=file:{self.folder}/log4j-console.properties"
        options = [heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log, *_OPEN_PACKAGES]
        configured = ["--configDir", str(self.folder), *arguments]
        classes = ["-cp", ":".join(self._classes())]
        self._processes.start(name, ["java", *options, *classes, main, *configured])

    def _classes(self) -> list[str]:
        """Return the classes of Flink and Beam.

        Jobs do not contain them, and only classes that outlive a job keep workers between stages.
        """
        return [f"{self._jars}/*", *map(str, tools.beam_classes())]

    def _settings(self) -> dict[str, object]:
        return {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": self._rpc_port,
            "jobmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self.rest_port,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.cpu.cores": 1.0,
            # Detect a dead task manager in 10 seconds instead of Flink's 50.
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 10000,
            # Batch jobs use these and ignore --number_of_execution_retries.
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            # Longer than workers are kept (see `flags`): otherwise a dead one would get work again.
            "restart-strategy.fixed-delay.delay": "4 s",
            # Beam's classes are on the class path; without this, each job would load its own again.
            "classloader.resolve-order": "parent-first",
            "taskmanager.network.sort-shuffle.min-buffers": 16,
            "io.tmp.dirs": self.folder / "tmp",
            "state.checkpoints.dir": f"file://{self.folder}/checkpoints",
            **_MEMORY,
        }
