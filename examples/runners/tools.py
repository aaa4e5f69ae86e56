"""Fetches the tools of the runners once from package registries, and caches them in a folder.

The folder is `$RITELLM_RUNNERS`, by default `~/.cache/ritellm/runners`:

    prism           66 MB, needs `go`
    flink          124 MB, needs `pip` (a download of 230 MB) and `java`
    job server     152 MB, needs `mvn` and `java`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

PRISM = "v2.77.0"
FLINK = "1.19.3"
# The newest runner for this Flink and the newest job service on Maven, which has no complete job
# server. Together they run jobs of Beam 2.77 for Python.
JOB_SERVER = "2.70.0"
_JOB_SERVICE = "2.65.0"

_FLINK_JARS = ("flink-dist-", "log4j-")
_NOT_BEAMS = ("flink-", "slf4j-jdk14", "slf4j-api")
_JOB_SERVER_MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# Beam sends the whole class path of the job server with each job, and no option prevents that. It
# omits jars in a folder of this name.
_NOT_SENT = "gradle/wrapper"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ritellm</groupId><artifactId>job-server</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.beam</groupId><artifactId>beam-runners-flink-{flink}</artifactId>
      <version>{beam}</version></dependency>
    <dependency><groupId>org.apache.beam</groupId><artifactId>beam-runners-java-job-service</artifactId>
      <version>{service}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-jdk14</artifactId>
      <version>2.0.17</version></dependency>
  </dependencies>
</project>
"""


class Missing(Exception):
    """A tool is not available here; the message says which one and why."""


def folder() -> Path:
    """Return the folder that caches the tools."""
    kept = os.environ.get("RITELLM_RUNNERS") or "~/.cache/ritellm/runners"
    return Path(kept).expanduser()


def prism() -> Path:
    """Return Beam's Prism, built from source; raises Missing."""
    made = once(f"prism-{PRISM}", ["go"], _build_prism)
    return made / "prism"


def flink() -> Path:
    """Return a folder of Flink's jars; raises Missing."""
    return once(f"flink-{FLINK}", ["java"], _download_flink)


def job_server() -> Path:
    """Return the jar that starts Beam's job server for Flink; raises Missing.

    Its jobs do not contain Beam's classes: a cluster needs `beam_classes` on its own class path.
    """
    return _job_server() / _launcher()


def beam_classes() -> list[Path]:
    """Return the jars that a cluster needs besides Flink's own to run Beam's jobs."""
    jars = (_job_server() / _NOT_SENT).glob("*.jar")
    return sorted(jar for jar in jars if not jar.name.startswith(_NOT_BEAMS))


def _job_server() -> Path:
    flink = FLINK.rpartition(".")[0]
    return once(f"job-server-{flink}-{JOB_SERVER}-lean", ["java", "mvn"], _resolve_job_server)


def _launcher() -> str:
    """Return the file name that Beam itself uses: the program reads Flink's version from it."""
    return f"beam-runners-flink-{FLINK.rpartition('.')[0]}-job-server-{JOB_SERVER}.jar"


def once(name: str, needed: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the folder `name`, filled the first time; it appears only when it is complete."""
    for tool in needed:
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    made = folder() / name
    if made.exists():
        return made
    folder().mkdir(parents=True, exist_ok=True)
    print(f"Fetching {name} into {folder()} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder()) as half:
        make(Path(half))
        Path(half).chmod(0o755)
        try:
            Path(half).rename(made)
        except OSError:  # another process was faster
            return made
        Path(half).mkdir()
    return made


def _build_prism(into: Path) -> None:
    package = f"github.com/apache/beam/sdks/v2/go/cmd/prism@{PRISM}"
    run(["go", "install", package], into, {"GOBIN": str(into)})


def _download_flink(into: Path) -> None:
    """Take the jars of Flink from its Python package."""
    package = f"apache-flink-libraries=={FLINK}"
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--dest", download, package], into)
        [archive] = Path(download).iterdir()
        with tarfile.open(archive) as files:
            for file in files:
                name = Path(file.name).name
                if file.isfile() and "/lib/" in file.name and name.startswith(_FLINK_JARS):
                    file.name = name
                    files.extract(file, into, filter="data")


def _resolve_job_server(into: Path) -> None:
    """Fetch the jars, and write one that lists their names: `java -jar` takes one jar only."""
    pom = _POM.format(flink=FLINK.rpartition(".")[0], beam=JOB_SERVER, service=_JOB_SERVICE)
    (into / "pom.xml").write_text(pom)
    copy = [f"-DoutputDirectory={_NOT_SENT}", "-DincludeScope=runtime"]
    run(["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", *copy], into)
    jars = sorted(f"{_NOT_SENT}/{path.name}" for path in (into / _NOT_SENT).glob("*.jar"))
    manifest = ["Manifest-Version: 1.0", f"Main-Class: {_JOB_SERVER_MAIN}"]
    manifest += _folded("Class-Path: " + " ".join(jars))
    with zipfile.ZipFile(into / _launcher(), "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "\r\n".join(manifest) + "\r\n")


def _folded(line: str) -> list[str]:
    """Return a line of a manifest in parts of at most 72 bytes."""
    return [line[:70], *(" " + line[at : at + 69] for at in range(70, len(line), 69))]


def run(command: Sequence[str], cwd: Path, environ: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environ or {})}, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in said if "rror" in line), "no reason given")
        raise Missing(f"{command[0]} failed to fetch it: {reason[:300]}")
