"""Beam SQL as a service: Beam's libraries from Maven, and a class of ours that names the transform.

Beam's own service is one jar of all of it, which not every Maven repository has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.runners import tools
from examples.runners.processes import Processes, free_port, listens

SOURCE = Path(__file__).parent / "sql" / "SqlService.java"
BEAM = "2.65.0"
SERVICE = "org.apache.beam.sdk.expansion.service.ExpansionService"
REGISTRAR = "META-INF/services/org.apache.beam.sdk.expansion.ExternalTransformRegistrar"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ritellm</groupId><artifactId>sql-service</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.beam</groupId><artifactId>beam-sdks-java-extensions-sql</artifactId>
      <version>{beam}</version></dependency>
    <dependency><groupId>org.apache.beam</groupId><artifactId>beam-sdks-java-expansion-service</artifactId>
      <version>{beam}</version></dependency>
    <dependency><groupId>org.apache.beam</groupId><artifactId>beam-sdks-java-harness</artifactId>
      <version>{beam}</version></dependency>
    <dependency><groupId>com.github.jbellis</groupId><artifactId>jamm</artifactId>
      <version>0.4.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-jdk14</artifactId>
      <version>2.0.17</version></dependency>
  </dependencies>
</project>
"""


def folder() -> Path:
    """Return the folder with the classes and the jars; raises Missing."""
    return tools.once(f"sql-service-{BEAM}", ["java", "javac", "mvn"], _make)


def _make(into: Path) -> None:
    (into / "pom.xml").write_text(POM.format(beam=BEAM))
    copy = ["dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime"]
    tools.run(["mvn", "--quiet", "--batch-mode", *copy], into)
    tools.run(["javac", "-cp", "jars/*", "-d", "classes", str(SOURCE)], into)
    (into / "classes" / REGISTRAR).parent.mkdir(parents=True)
    (into / "classes" / REGISTRAR).write_text(SOURCE.stem)


@contextmanager
def running(logs: Path) -> Iterator[str]:
    """Start the service, with a worker for its transforms; yields its address."""
    made, port = folder(), free_port()
    paths = f"{made / 'classes'}:{made / 'jars'}/*"
    command = ["java", "-cp", paths, SERVICE, str(port), "--alsoStartLoopbackWorker"]
    with Processes(logs) as processes:
        processes.start("sql", command)
        processes.wait_until(lambda: listens("127.0.0.1", port), "sql")
        yield f"localhost:{port}"
