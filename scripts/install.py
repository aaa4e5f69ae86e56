"""Installs packages into the environment of this Python: python scripts/install.py ARGUMENT...

The arguments are those of `pip install`. pip takes one package after the other, 40 s for those of
`make demo` where uv takes 10 s. So uv does it: the one of this machine, or else one that pip
fetches into a temporary folder. uv does not read the settings of pip. Those that say where packages
are become settings of uv. Under any other setting, or if uv fails, pip does it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from install_progress import PipSteps, UvSteps, show

# Modules are compiled when they are first imported: most of them never are.
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
_INSTALL = (*_PIP, "install", "--no-compile", "--progress-bar", "off")
# Settings of pip that mean the same to uv, and those that change nothing of what is installed.
_SAME = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "find-links": "UV_FIND_LINKS"}
_HARMLESS = {
    *("cache-dir", "color", "compile", "config-file", "default-timeout", "no-color", "no-compile"),
    *(
        "disable-pip-version-check",
        "no-input",
        "no-python-version-warning",
        "progress-bar",
        "quiet",
    ),
    *("require-virtualenv", "retries", "root-user-action", "timeout", "verbose"),
}
# global.index-url='https://...'
_SETTING = re.compile(r"(:env:|global|install)\.([\w-]+)='(.*)'")


def uv_settings(pip_config: Iterable[str]) -> dict[str, str] | None:
    """Return the environment that makes uv do what pip does, None if there is none.

    `pip_config` has the lines of `pip config list`.
    """
    settings: dict[str, str] = {}
    for line in pip_config:
        found = _SETTING.match(line)
        if found is None or found[2] in _HARMLESS:
            continue  # settings of commands other than `pip install`
        if found[2] not in _SAME:
            return None
        settings[_SAME[found[2]]] = ",".join(found[3].split())
    return settings


def _install_with_uv(arguments: list[str], settings: Mapping[str, str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or _fetched_uv(folder)
        if uv is None:
            return False
        command = [uv, "pip", "install", "--python", sys.executable, *arguments]
        with _started(command, {**settings, **os.environ}) as process:
            show(process.stdout or (), UvSteps(), sys.stderr)
    return process.returncode == 0


def _fetched_uv(folder: str) -> str | None:
    fetch = [*_INSTALL, "--quiet", "--no-deps", "--target", folder, "uv"]
    if subprocess.run(fetch, capture_output=True).returncode:
        return None
    return shutil.which("uv", path=str(Path(folder, "bin")))


def _install_with_pip(arguments: list[str]) -> int:
    with _started([*_INSTALL, *arguments], os.environ) as process:
        last = show(process.stdout or (), PipSteps(), sys.stderr)
    if process.returncode:
        sys.stderr.write("".join(last))
    return process.returncode


def _started(command: Iterable[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    return subprocess.Popen([*command], env=environ, stdout=pipe, stderr=both, text=True)


def main(arguments: list[str]) -> int:
    """Return 0 if the packages are installed; else pip has said why not."""
    listed = subprocess.run([*_PIP, "config", "list"], capture_output=True, text=True)
    settings = uv_settings(listed.stdout.splitlines())
    if settings is not None and _install_with_uv(arguments, settings):
        return 0
    return _install_with_pip(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
