"""The embedded model: `acquire()` returns the address of a server on this machine.

The server is a process of its own, which all clients of a user on a machine share. It runs while
any client holds a lease. A lease is an open connection to the server's unix socket, so the kernel
returns it even if the client is killed. This package neither loads the model nor speaks HTTP in the
client's process.
"""

from __future__ import annotations

import importlib.util
import socket

from ritellm.extras import install
from ritellm.local.base import (
    DEFAULT_MODEL,
    PACKAGES,
    LocalServer,
    LocalServerError,
    MissingExtraError,
    UnknownLocalModelError,
)

__all__ = [
    "LocalServer",
    "acquire",
    "LocalServerError",
    "MissingExtraError",
    "UnknownLocalModelError",
]


def acquire(model: str = DEFAULT_MODEL) -> LocalServer:
    """Return the address of the server, which is started if it does not run.

    Loading the model takes seconds. Later calls of this process return at once. The lease lasts
    until the process ends; a forked child takes a lease of its own.
    """
    _check_model(model)
    _check_platform()
    _check_extra(PACKAGES[model])
    from ritellm.local import leases  # imports modules that only Unix has

    return leases.take(model)


def _check_model(model: str) -> None:
    if model not in PACKAGES:
        raise UnknownLocalModelError(
            f"the local model must be one of {', '.join(sorted(PACKAGES))}, got {model!r}"
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
            f"the local model needs {' and '.join(missing)}: {install('local')}"
        )
