"""What the templates' images hold beyond Beam's SDK image, in megabytes of installed packages.

    python templates/image_size.py

Beam's image has all that `apache-beam[gcp]` asks for. The rest of the pinned requirements, and this
project's own packages, are what is added. Run it where `.[fast,gcp,kafka,pubsub,redis]` is
installed (`make .venv-gcp/ready`): it adds up the files on disk, as pip has put them there. Layers
are compressed when they are pulled, to about a third; the launcher, a single program, is not
counted.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OURS = ("ritellm", "transforms", "pipelines")


def pinned(template: str) -> set[str]:
    """Return the names in the template's requirements."""
    text = (ROOT / "templates" / template / "requirements.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def asked_for(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of `name` with `extras` and all that it asks for, as far as installed."""
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
    """Return the bytes of each package that is added, our own among them."""
    added = pinned(template) - asked_for("apache-beam", frozenset({"gcp"}))
    found = {name: _size(name) for name in sorted(added)}
    own = (path for package in OURS for path in (ROOT / package).rglob("*.py"))
    # Twice, about: pip compiles what it installs.
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
