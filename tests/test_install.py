"""What installs the packages of `make demo`: uv, or pip where uv does not."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "install.py"


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return runpy.run_path(str(SCRIPT))["uv_settings"]


def test_uv_finds_packages_where_pip_finds_them(settings):
    listed = [
        "global.index-url='https://mirror.example/simple'",
        ":env:.cert='/etc/ssl/mirror.pem'",
        "install.find-links='/opt/wheels /opt/more'",
    ]
    assert settings(listed) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/mirror.pem",
        "UV_FIND_LINKS": "/opt/wheels,/opt/more",
    }


def test_settings_that_change_no_package_leave_uv_as_it_is(settings):
    assert (
        settings(
            [
                "global.timeout='180'",
                ":env:.config-file='pip.conf'",
                ":env:.no-input='1'",
                "freeze.all='true'",
            ]
        )
        == {}
    )


@pytest.mark.parametrize("name", ["extra-index-url", "trusted-host", "proxy", "constraint"])
def test_pip_installs_under_a_setting_that_uv_has_no_equal_of(settings, name):
    assert settings([f"global.{name}='x'"]) is None


def tiny_wheel(folder):
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1")
        wheel.writestr(
            "tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return path


def install(tmp_path, uv, *arguments):
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{uv}\n")
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environ |= {"PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True)


def test_the_uv_of_this_machine_gets_the_arguments_and_this_python(tmp_path):
    done = install(tmp_path, f'echo "$@" > {tmp_path}/said', "--no-index", "no-such-package")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = (tmp_path / "said").read_text()
    assert said == f"pip install --python {sys.executable} --no-index no-such-package\n"


def test_pip_installs_what_uv_cannot(tmp_path):
    target = tmp_path / "target"
    wheel = tiny_wheel(tmp_path)
    arguments = ("--no-index", "--target", str(target), str(wheel))
    done = install(tmp_path, "echo no; exit 2", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (target / "tiny.py").exists()


def test_a_package_that_does_not_exist_ends_with_what_pip_says(tmp_path):
    done = install(tmp_path, "exit 2", "--no-index", "no-such-package")
    assert done.returncode == 1
    assert "No matching distribution found for no-such-package" in done.stderr
