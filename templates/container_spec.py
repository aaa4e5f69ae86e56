"""Prints the container spec of a template: the JSON file that `gcloud ... run` reads from a bucket.

    python templates/container_spec.py batch_complete --image REGION-docker.pkg.dev/P/R/NAME:1

If `gcloud` is installed, the program compares its spec with that of `gcloud`, and fails if they
differ. `gcloud dataflow flex-template build` itself drops the streaming fields of the metadata.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).resolve().parent
DROPPED_BY_GCLOUD = frozenset(
    {"streaming", "supportsAtLeastOnce", "supportsExactlyOnce", "defaultStreamingMode"}
)


def container_spec(template: str, image: str) -> dict[str, Any]:
    """Return the spec of the template in the folder `template`, run from `image`."""
    metadata = json.loads(_metadata_file(template).read_text(encoding="utf-8"))
    return {
        "defaultEnvironment": {},
        "image": image,
        "metadata": metadata,
        "sdkInfo": {"language": "PYTHON"},
    }


def gclouds_spec(template: str, image: str) -> dict[str, Any]:
    """Return the spec that `gcloud` would upload; needs no network. Raises CalledProcessError."""
    command = ["gcloud", "dataflow", "flex-template", "build", "gs://nowhere/spec.json"]
    command += [f"--image={image}", f"--metadata-file={_metadata_file(template)}"]
    command += ["--sdk-language=PYTHON", "--print-only", "--project=none", "--format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # gcloud prints a JSON string that contains the JSON document.
    printed = json.loads(done.stdout)
    spec: dict[str, Any] = json.loads(printed) if isinstance(printed, str) else printed
    return spec


def comparable(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return `spec` without the fields that `gcloud` drops."""
    kept = {k: v for k, v in spec["metadata"].items() if k not in DROPPED_BY_GCLOUD}
    return {**spec, "metadata": kept}


def main() -> None:
    """Check and print a spec."""
    parser = argparse.ArgumentParser(description="Print a template's container spec.")
    names = sorted(found.parent.name for found in TEMPLATES.glob("*/metadata.json"))
    parser.add_argument("template", choices=names, help="the template's folder")
    parser.add_argument("--image", required=True, help="the image, as it was pushed")
    known_args = parser.parse_args()
    spec = container_spec(known_args.template, known_args.image)
    if shutil.which("gcloud") is None:
        print("gcloud is not installed, so the spec was not checked", file=sys.stderr)
    elif gclouds_spec(known_args.template, known_args.image) != comparable(spec):
        sys.exit("gcloud makes a different spec; look for a misspelled field in metadata.json")
    print(json.dumps(spec, indent=2))


def _metadata_file(template: str) -> Path:
    return TEMPLATES / template / "metadata.json"


if __name__ == "__main__":
    main()
