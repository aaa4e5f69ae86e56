"""Programs on their way to Dataflow: submitted, looked into, and executed as they were staged."""

from __future__ import annotations

import base64
import bz2
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fake_dataflow import Bucket, FakeDataflow

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_GOOGLE = [sys.executable, str(Path(__file__).with_name("without_google.py"))]
VERSION = "projects/my-project/secrets/openai/versions/3"
SECRET = "sk-planted-in-secret-manager"

Google = SimpleNamespace  # `host` of the storage emulator, its `bucket`
Done = subprocess.CompletedProcess


@contextmanager
def storage() -> Iterator[Google]:
    """Run a storage emulator with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from gcp_storage_emulator.__main__ import main; main()"]
    command += ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    command += ["--default-bucket=bucket"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as emulator:
        host = f"http://127.0.0.1:{port}"
        bucket = Bucket(host, "bucket")
        try:
            wait_for(lambda: bucket.names() == [])
            yield SimpleNamespace(host=host, bucket=bucket)
        finally:
            emulator.terminate()


def submission(folder: str, ours: Mapping[str, Any], **changes: Any) -> list[str]:
    """Return the flags of a job in a folder of the bucket: `ours`, and Dataflow's."""
    given = {
        "model": "openai/m",
        "api_key_secret": VERSION,
        "runner": "DataflowRunner",
        "project": "my-project",
        "region": "europe-west4",
        "job_name": folder,
        "temp_location": f"gs://bucket/{folder}/tmp",
        "staging_location": f"gs://bucket/{folder}/staging",
        "labels": "team=research",
        **ours,
        **changes,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def to(dataflow: FakeDataflow) -> list[str]:
    """Return the flags that send a job there."""
    return [f"--dataflow_endpoint={dataflow.endpoint}", "--no_auth"]


def run(google: Google, *arguments: str, cwd: Path = ROOT, **changes: str | None) -> Any:
    """Run `without_google.py`; returns the finished process, `said` is all it printed."""
    command, environ = [*WITHOUT_GOOGLE, *arguments], environment(google, **changes)
    done: Any = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=180
    )
    done.said = done.stdout + done.stderr
    return done


def environment(
    google: Google, path: Path = ROOT, secret: str | None = None, **more: str
) -> dict[str, str]:
    """Return the environment of a program that finds `path`'s code and these services."""
    environ = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    environ |= {"STORAGE_EMULATOR_HOST": google.host, "PYTHONPATH": str(path), **more}
    return environ | ({"FAKE_SECRET": secret} if secret else {})


def staged(google: Google, folder: str) -> dict[str, bytes]:
    """Return what was staged, by name; the files in archives too."""
    found = {}
    for name in google.bucket.names():
        if name.startswith(f"{folder}/"):
            found[name] = google.bucket.get(name)
            if name.endswith(".tar.gz"):
                with tarfile.open(fileobj=io.BytesIO(found[name])) as archive:
                    files = [member for member in archive if member.isfile()]
                    found |= {f.name: archive.extractfile(f).read() for f in files}
    return found


def pipeline_of(google: Google, folder: str) -> bytes:
    """Return the only pipeline that was staged in `folder`."""
    [name] = [n for n in google.bucket.names("/pipeline.pb") if n.startswith(f"{folder}/")]
    return bytes(google.bucket.get(name))


def executed(
    google: Google, folder: str, work: Path, secret: str | None = SECRET, **environ: str
) -> Any:
    """Run the pipeline that was staged in `folder`, with the code that was staged there."""
    pipeline, code = work / "pipeline.pb", work / "code"
    pipeline.write_bytes(pipeline_of(google, folder))
    shutil.rmtree(code, ignore_errors=True)
    [name] = [n for n in google.bucket.names("/workflow.tar.gz") if n.startswith(f"{folder}/")]
    with tarfile.open(fileobj=io.BytesIO(google.bucket.get(name))) as archive:
        archive.extractall(code, filter="data")
    [unpacked_code] = code.iterdir()
    given = {"cwd": work, "path": unpacked_code, "secret": secret}
    return run(google, "execute", str(pipeline), **given, **environ)


def unpacked(data: bytes) -> bytes:
    """Return `data` with all that is packed in it: Beam's pickles are compressed, in base64."""
    found = [data]
    for packed in re.findall(rb"[A-Za-z0-9+/]{32,}={0,2}", data):
        for start in range(3):  # a length in front of it can look like a part of it
            try:
                raw = base64.b64decode(packed[start:] + b"==")
            except ValueError:
                continue
            for decompress in (bz2.decompress, lambda d: zlib.decompressobj().decompress(d)):
                try:
                    found.append(unpacked(decompress(raw)))
                except (OSError, ValueError, zlib.error):
                    pass
    return b"\0".join(found)


def wait_for(there: Callable[[], object], seconds: float = 120.0) -> None:
    """Return once `there` is true; what cannot be reached yet is not."""
    end = time.monotonic() + seconds
    while True:
        try:
            if there():
                return
        except OSError:
            pass
        assert time.monotonic() < end, "it did not come up"
        time.sleep(0.05)


def gcloud(dataflow: FakeDataflow, folder: Path, *arguments: str) -> Done[str]:
    """Run `gcloud dataflow` against `dataflow`, with settings in `folder`."""
    command = ["gcloud", "dataflow", *arguments, "--region=europe-west4", "--project=my-project"]
    environ = os.environ | {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": f"{dataflow.endpoint}/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CONFIG": str(folder),
    }
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
