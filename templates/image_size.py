"""Measures what the images of the templates add to Beam's SDK image, in megabytes of packages.

    python templates/image_size.py

Beam's image contains all requirements of `apache-beam[gcp]`. The templates add the other pinned
requirements and this project's own packages. Run this program where
`.[fast,gcp,kafka,pubsub,redis]` is installed (`make .venv-gcp/ready`): it sums the sizes of the
installed files. A pull compresses layers to about a third. The launcher, a single program, is not
counted.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ritellm", "transforms", "pipelines")


def pinned(template: str) -> set[str]:
    """Return the names in the template's requirements."""
    text = (ROOT / "templates" / template / "requirements.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def requirements_of(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the installed packages that `name` with `extras` requires, itself among them."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(_plain(name))
        for requirement in map(Requirement, wanted):
            each = (_plain(requirement.name), frozenset(requirement.extras))
            if each not in seen and _applies(requirement, extras):
                seen.add(each)
                waiting.append(each)
    return found


def sizes(template: str) -> dict[str, int]:
    """Return the bytes of each added package, this project among them."""
    added = pinned(template) - requirements_of("apache-beam", frozenset({"gcp"}))
    found = {name: _size(name) for name in sorted(added)}
    own = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    # About twice the source: pip adds compiled files.
    return found | {"ritellm-beam": 2 * sum(path.stat().st_size for path in own)}


def _size(name: str) -> int:
    files = metadata.files(name) or []
    return sum(path.stat().st_size for f in files if (path := Path(str(f.locate()))).is_file())


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    for template in ("batch_complete", "stream_complete"):
        added = sizes(template)
        for name, size in sorted(added.items(), key=lambda item: -item[1]):
            print(f"{size / 1e6:8.2f} MB  {name}")
        print(f"{sum(added.values()) / 1e6:8.2f} MB  over Beam's SDK image: {template}\n")
