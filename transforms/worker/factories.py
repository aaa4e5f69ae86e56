"""How a worker gets its client: from names, never from keys."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ritellm.errors import AuthenticationError
from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.journal import NewJournal
from transforms.worker.completer import Means
from transforms.worker.hedging import Hedge
from transforms.worker.room import Room

if TYPE_CHECKING:
    from ritellm import AsyncClient


@dataclass(frozen=True)
class NewClient:
    """Makes a client where it is called: the key is read there, and travels in no job graph."""

    api_key_env: str | None = None
    base_url: str | None = None
    api_key_secret: str | None = None
    api_key_file: str | None = None

    def __call__(self) -> AsyncClient:
        """Return a new client; raises AuthenticationError if its key is not to be had here."""
        from ritellm import AsyncClient
        from transforms.worker.renewing_client import Key, RenewingClient

        defaults: dict[str, Any] = {"base_url": self.base_url}
        for name, read in (
            (self.api_key_env, key_in),
            (self.api_key_secret, key_in_secret),
            (self.api_key_file, key_in_file),
        ):
            if name is not None:
                return RenewingClient(Key(partial(read, name)), name, **defaults)
        return AsyncClient(**defaults)


@dataclass(frozen=True)
class NewMeans:
    """Makes what a process asks with: a client behind a gate, and its hedge. Called on the loop."""

    new_client: Callable[[], AsyncClient]
    limits: Limits
    hedge_after: float | str | None = None
    new_journal: NewJournal | None = None
    new_ledger: NewLedger | None = None

    def __call__(self) -> Means:
        """Return new means."""
        from ritellm.rate_limits.gate import Gate

        client, gate = self.new_client(), Gate(self.limits)
        client.gate = gate
        hedge = Hedge(self.hedge_after) if self.hedge_after is not None else None
        journal = self.new_journal() if self.new_journal is not None else None
        ledger = self.new_ledger(journal) if self.new_ledger is not None else None
        return Means(client, Room(self.limits.max_in_flight), gate, hedge, journal, ledger)


def key_in(variable: str) -> str:
    """Return the key in the environment `variable`; raises AuthenticationError without it."""
    key = os.environ.get(variable)
    if not key:
        raise AuthenticationError(f"no key: the environment variable {variable} is not set here")
    return key


def key_in_file(path: str) -> str:
    """Return the key in the file at `path`, on any Beam filesystem, without blanks around it.

    Raises AuthenticationError, in one line, if there is none to be read here.
    """
    from apache_beam.io.filesystems import FileSystems

    try:
        with FileSystems.open(path) as file:
            key: str = file.read().decode().strip()
    except UnicodeDecodeError:
        raise AuthenticationError(f"no key: the file {path} holds no text") from None
    except Exception as error:  # Beam's filesystems raise what they like
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AuthenticationError(f"no key: cannot read {path} here: {reason}") from None
    if not key:
        raise AuthenticationError(f"no key: the file {path} is empty")
    return key


def key_in_secret(version: str) -> str:
    """Return the key in Secret Manager under `version` (projects/P/secrets/S/versions/V).

    Raises AuthenticationError, in one line, if it cannot be read from here.
    """
    from apache_beam.utils.secret import GcpSecret

    check_secret_manager()
    try:
        key: str = GcpSecret(version).get_str().strip()
    except (RuntimeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).partition("with exception ")[2].split())
        raise AuthenticationError(f"cannot read {version}: {reason or 'not a text'}") from None
    if not key:
        raise AuthenticationError(f"{version} is empty")
    return key


def check_secret(version: str) -> None:
    """Raise AuthenticationError if `version` is known to be of no use to a worker.

    Whoever submits a job need not have access to it, nor may look: then nothing is raised.
    """
    check_secret_manager()
    from google.api_core.exceptions import NotFound
    from google.cloud import secretmanager

    try:
        client = secretmanager.SecretManagerServiceClient()
        found = client.get_secret_version(request={"name": version}, retry=None, timeout=10)
    except NotFound:
        raise AuthenticationError(
            f"there is no {version}: look at its name, or add it, `gcloud secrets versions add`"
        ) from None
    except Exception:
        return  # not from here; a worker that cannot read it says so
    if found.state.name != "ENABLED":
        state = found.state.name.lower()
        raise AuthenticationError(f"{version} is {state}: enable it, or name another version")


def check_secret_manager() -> None:
    """Raise AuthenticationError unless Google's client of Secret Manager is installed."""
    try:
        importlib.import_module("google.cloud.secretmanager")
    except ImportError:
        raise AuthenticationError(
            "a key in Secret Manager needs Google's client: pip install 'apache-beam[gcp]'"
        ) from None
