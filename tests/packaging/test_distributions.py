"""The wheels and source distributions that a release has, built and installed as users do it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))

import distributions  # noqa: E402

EPOCH = 1_700_000_000


def has_build_backend():
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not has_build_backend(), reason="setuptools 77 is not installed")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=distributions.DISTRIBUTIONS)
def name(request):
    """The name of a distribution."""
    return request.param


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Return a function that builds a distribution once: its source distribution and wheel."""
    built = {}

    def archives(name):
        if name not in built:
            packages = distributions.DISTRIBUTIONS[name]
            made = distributions.build(packages, tmp_path_factory.mktemp("dist"), EPOCH)
            built[name] = {path.suffix: path for path in made}
        return built[name][".gz"], built[name][".whl"]

    return archives


def facts(wheel):
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [path] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return message_from_string(archive.read(path).decode())


def test_equal_files_give_equal_archives(archives, name, tmp_path):
    again = distributions.build(distributions.DISTRIBUTIONS[name], tmp_path, EPOCH)
    first = {path.name: path.read_bytes() for path in archives(name)}
    assert {path.name: path.read_bytes() for path in again} == first


def test_both_archives_have_the_same_modules(archives, name):
    source, wheel = archives(name)
    with tarfile.open(source) as archive:
        paths = [Path(each).parts[1:] for each in archive.getnames()]
    packages = distributions.DISTRIBUTIONS[name]
    sources = {"/".join(path) for path in paths if path and path[0] in packages}
    with zipfile.ZipFile(wheel) as archive:
        installed = {each for each in archive.namelist() if ".dist-info/" not in each}
    assert installed == {path for path in sources if path.endswith((".py", "py.typed"))} | {
        path for path in installed if not path.endswith((".py", "py.typed"))
    }
    assert {f"{package}/py.typed" for package in packages} <= installed
    assert {Path(path).parts[0] for path in installed} == set(packages)


def test_the_client_requires_httpx_and_orjson_alone(archives):
    said = facts(archives("ritellm-client")[1])
    required = [line for line in said.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(line.split("<")[0].split(">")[0] for line in required) == ["httpx", "orjson"]
    assert said.get_all("Provides-Extra") == ["local", "fast", "aws", "answers"]


def test_the_description_has_no_link_that_leads_nowhere(archives, name):
    said = facts(archives(name)[1])
    assert said["License-Expression"] == "Apache-2.0"
    text = said.get_payload()
    assert "every row accounted for" in text
    assert "![" not in text
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    assert [each for each in targets if not each.startswith(("https://", "#"))] == []


def test_a_source_distribution_makes_the_same_distribution(archives, name, tmp_path):
    """pip builds the wheel from it on a machine without a fitting wheel."""
    source, wheel = archives(name)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    run(sys.executable, "-m", "pip", "wheel", *flags, str(source))
    [again] = tmp_path.glob("*.whl")
    assert again.name == wheel.name
    assert facts(again).items() == facts(wheel).items()


@pytest.fixture(scope="module")
def client(archives, tmp_path_factory):
    """A clean environment with the client and what it requires."""
    folder = tmp_path_factory.mktemp("client")
    run(sys.executable, "-m", "venv", str(folder))
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, str(archives("ritellm-client")[1]))
    return folder / "bin"


ASK = """
from ritellm import completion
messages = [{"role": "user", "content": "Hello there"}]
print(completion("openai/m", messages).choices[0].message.content)
import importlib.util
print(importlib.util.find_spec("apache_beam"))
"""


@pytest.fixture
def environ(fake_server):
    """The environment of a user of the fake server, without the repository on its path."""
    server = {"OPENAI_BASE_URL": fake_server.base_url, "OPENAI_API_KEY": "sk-none"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | server


def test_the_client_works_without_beam(client, environ, tmp_path):
    said = run(str(client / "python"), "-c", ASK, env=environ, cwd=tmp_path)
    assert said.splitlines() == ["Hello there", "None"]
    said = run(
        str(client / "ritellm"), "Hello", "-m", "openai/m", env=environ, cwd=tmp_path, input=""
    )
    assert said == "Hello\n"
    assert sorted(path.name for path in client.glob("ritellm*")) == ["ritellm"]


def test_a_model_whose_extra_is_missing_is_one_line(client, environ, tmp_path):
    command = [str(client / "ritellm"), "Hello", "-m", "local/gemma-3-270m"]
    options = {"capture_output": True, "text": True, "env": environ, "cwd": tmp_path}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'ritellm-client[local]'" in done.stderr


@pytest.fixture(scope="module")
def whole(archives, tmp_path_factory):
    """An environment with `ritellm-beam`, in front of the packages that run these tests."""
    folder = tmp_path_factory.mktemp("whole")
    run(sys.executable, "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    folders = [path for path in sys.path if Path(path).name == "site-packages"]
    (own / "dependencies.pth").write_text("\n".join([*folders, ""]))
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "--no-deps", "--ignore-installed", str(archives("ritellm-beam")[1]))
    return folder / "bin"


def test_the_scripts_work_in_a_folder_with_packages_of_the_same_names(whole, environ, tmp_path):
    for package in ("pipelines", "transforms", "ritellm"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('the user's own')")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Hello there"}\n')
    command = [str(whole / "ritellm-batch"), "--input", "rows.jsonl", "--output", "out"]
    run(*command, "--model", "openai/m", env=environ, cwd=tmp_path)
    [answers] = (tmp_path / "out").glob("completions-*")
    assert '"text":"Hello there"' in answers.read_text()


SCRIPTS = {
    "ritellm": "ritellm ",
    "ritellm-batch": "ritellm-beam ",
    "ritellm-stream": "ritellm-beam ",
    "ritellm-results": "ritellm-beam ",
    "ritellm-watch": "ritellm-beam ",
    "ritellm-serve": "ritellm-beam ",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_names_itself_and_its_version(whole, tmp_path, script):
    path = str(whole / script)
    assert run(path, "--version", cwd=tmp_path).startswith(SCRIPTS[script])
    assert run(path, "--help", cwd=tmp_path).startswith(f"usage: {script} ")


CONSUMER = """
from collections.abc import Callable, Iterator

import ritellm
from pipelines import ReadRows
from ritellm import CallEnd, Completion, Timeouts, completion, on_end
from ritellm.types.utils import Message
from transforms import CompletePrompts, Prompt, complete_all


def texts() -> Iterator[str]:
    for chunk in completion("openai/m", [{"role": "user", "content": "x"}], stream=True):
        yield chunk.choices[0].delta.content or ""


def text() -> str:
    whole: Completion = completion(
        "openai/m", [{"role": "user", "content": "x"}], timeout=Timeouts(total=3.0)
    )
    message: Message = whole.choices[0].message
    content: str | None = message.content
    spent: int | None = whole.usage.total_tokens if whole.usage else None
    return f"{content} {spent}"


def note(end: CallEnd) -> None:
    reason: str | None = end.completion.choices[0].finish_reason
    print(end.model, reason)


remove: Callable[[], None] = on_end(note)
result_texts: list[str | None] = [
    row["text"] for row in complete_all(["x"], "openai/m", journal="j.sqlite", temperature=0)
]

prompt: Prompt = Prompt.of_text("x", temperature=0)
transform: CompletePrompts = CompletePrompts("openai/m", max_in_flight=3)
reading = ReadRows("rows.jsonl")
"""
WRONG = (
    CONSUMER
    + """
completion(3, "x")
completion("openai/m", [], temprature=1)
prompt.idd
number: int = completion("openai/m", []).choices[0].message.content
complete_all(["x"], "openai/m", jurnal="x")
"""
)


def test_a_strict_type_checker_understands_the_packages(whole, tmp_path):
    (tmp_path / "right.py").write_text(CONSUMER)
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mypy.ini").write_text("[mypy-apache_beam.*]\nignore_missing_imports = True\n")
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini"]
    check += ["--python-executable", str(whole / "python")]
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run([*check, "right.py"], **options)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([*check, "wrong.py"], **options)
    assert "[call-overload]" in done.stdout
    assert '"Prompt" has no attribute "idd"' in done.stdout
    assert 'argument "temprature" for overloaded function "completion"; did you mean' in done.stdout
    assert 'expression has type "str | None", variable has type "int"' in done.stdout
    assert 'Unexpected keyword argument "jurnal" for "complete_all"' in done.stdout


def test_twine_accepts_the_archives(archives, name):
    pytest.importorskip("twine", reason="twine is not installed")
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, archives(name)))
