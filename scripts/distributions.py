"""Builds the wheels and the source distributions of both distributions into a folder.

    python scripts/distributions.py dist    # needs setuptools 77 or newer

`ritellm-beam` has all packages. `ritellm-client` has `ritellm` alone. Each is built from a copy of
the files that it needs. Equal files give equal archives: all times are those of the last commit, or
of SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
# The hooks that pip calls for `setup.py` too.
_BUILD = """
import sys
from setuptools import build_meta
[_, folder] = sys.argv  # the hooks set other arguments
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""
DISTRIBUTIONS = {
    "ritellm-beam": ("ritellm", "transforms", "pipelines"),
    "ritellm-client": ("ritellm",),
}


def build(packages: tuple[str, ...], to: Path, epoch: int) -> list[Path]:
    """Build the distribution of `packages`; return its archives in the folder `to`."""
    with tempfile.TemporaryDirectory() as temporary:
        source, made = Path(temporary, "source"), Path(temporary, "made")
        source.mkdir()
        for name in FILES:
            shutil.copy(ROOT / name, source)
        for name in packages:
            skip = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(ROOT / name, source / name, ignore=skip)
        made.mkdir()
        environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        command = [sys.executable, "-c", _BUILD, str(made)]
        done = subprocess.run(command, cwd=source, env=environ, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        for archive in made.glob("*.tar.gz"):
            normalize(archive, epoch)
        to.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(archive, to)) for archive in sorted(made.iterdir())]


def normalize(archive: Path, epoch: int) -> None:
    """Write `archive` again without the times, the owners and the order of this machine."""
    plain = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=plain, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with archive.open("wb") as file, gzip.GzipFile("", "wb", 9, file, epoch) as packed:
        packed.write(plain.getvalue())


def last_commit() -> int:
    """Return the time that archives get, in seconds since 1970."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "log", "-1", "--format=%ct"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(said.stdout)


def main(folder: str) -> None:
    """Build both distributions into `folder`, and print their sizes."""
    epoch = last_commit()
    for packages in DISTRIBUTIONS.values():
        for archive in build(packages, Path(folder), epoch):
            print(f"{archive.stat().st_size / 1e6:6.2f} MB  {archive}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "dist")
