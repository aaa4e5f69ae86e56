"""The console scripts of an installation: their names, and the modules that they run."""

from __future__ import annotations

from pathlib import PurePath

SCRIPTS = {
    "ritellm-batch": "pipelines.batch_complete",
    "ritellm-stream": "pipelines.stream_complete",
    "ritellm-results": "pipelines.results",
    "ritellm-watch": "pipelines.watch",
    "ritellm-serve": "pipelines.serve_deltas",
}


def module_of(path: str) -> str | None:
    """Return the module that the script at `path` runs; None if it is not one of ours."""
    return SCRIPTS.get(PurePath(path).stem)
