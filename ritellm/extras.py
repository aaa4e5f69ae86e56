"""The commands that install what an optional feature needs."""

from __future__ import annotations

# Both hold this package. `ritellm-beam` holds the transforms and the programs too.
_DISTRIBUTIONS = ("ritellm-beam", "ritellm-client")


def install(extra: str) -> str:
    """Return the command that installs `extra` of the distribution that is installed here."""
    return f"pip install '{_installed()}[{extra}]'"


def _installed() -> str:
    from importlib import metadata  # only an error needs it

    for name in _DISTRIBUTIONS:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        return name
    return _DISTRIBUTIONS[0]
