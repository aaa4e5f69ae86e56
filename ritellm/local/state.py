"""The private directory where a user's clients find the server."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ritellm.local.base import LocalServerError

# sockaddr_un has 104 bytes on macOS and 108 on Linux, including the final zero.
_MAX_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class StateDir:
    """The files of one server, in a directory that only its user can open."""

    path: Path

    @property
    def socket(self) -> Path:
        return self.path / "server.sock"

    @property
    def lock(self) -> Path:
        return self.path / "server.lock"

    @property
    def log(self) -> Path:
        return self.path / "server.log"


def state_dir() -> StateDir:
    """Return the first usable directory, created as private if it does not exist."""
    reasons = []
    for path in _candidates():
        state = StateDir(path)
        reason = _unusable(state)
        if reason is None:
            return state
        reasons.append(f"{path} {reason}")
    raise LocalServerError(
        f"no usable directory for the local model's socket: {'; '.join(reasons)}"
    )


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("RITELLM_LOCAL_DIR"):
        yield Path(chosen).absolute()
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "ritellm"
    for temporary in (tempfile.gettempdir(), "/tmp"):  # TMPDIR may be too long for a socket
        yield Path(temporary) / f"ritellm-{os.geteuid()}"


def _unusable(state: StateDir) -> str | None:
    """Return what is wrong with the directory, or None if it is private and owned by the user."""
    if len(os.fsencode(state.socket)) > _MAX_SOCKET_PATH:
        return "is too long a path for a unix socket"
    try:
        state.path.mkdir(mode=0o700, exist_ok=True)
        found = state.path.lstat()
        # In a shared /tmp another user may have created it, and would receive our prompts.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return "belongs to another user"
        if stat.S_IMODE(found.st_mode) != 0o700:
            state.path.chmod(0o700)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    return None if os.access(state.path, os.W_OK | os.X_OK) else "is not writable"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; the kernel releases it if this process is killed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing is not enough: a child forked in between would keep the lock for its lifetime.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
