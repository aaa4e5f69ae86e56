"""Pins the packages that the images of the templates install, by version and file hash.

    make lock        # on Linux, x86-64, with Python 3.11, as in the images

pip resolves each requirements.in as it would in the image, and installs nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).resolve().parent


def pins(chosen: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a pinned requirement for each package that pip has chosen, except this project."""
    for package in chosen:
        found = package["download_info"]
        if "dir_info" in found:
            continue
        name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
        version, sha256 = package["metadata"]["version"], found["archive_info"]["hashes"]["sha256"]
        yield f"{name}=={version} \\\n    --hash=sha256:{sha256}\n"


def main() -> None:
    """Write each template's requirements.txt."""
    for wanted in sorted(TEMPLATES.glob("*/requirements.in")):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report=-", f"--requirement={wanted}"]
        done = subprocess.run(command, cwd=TEMPLATES.parent, check=True, stdout=subprocess.PIPE)
        lines = sorted(pins(json.loads(done.stdout)["install"]))
        wanted.with_suffix(".txt").write_text("".join(lines), encoding="utf-8")
        print(f"{len(lines)} packages in {wanted.with_suffix('.txt').relative_to(TEMPLATES)}")


if __name__ == "__main__":
    main()
