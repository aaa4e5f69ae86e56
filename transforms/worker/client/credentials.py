"""Keys of providers: from the environment, a file, or Google's Secret Manager."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ritellm.errors import AuthenticationError


def key_in(variable: str) -> str:
    """Return the key in the environment `variable`; raises AuthenticationError without it."""
    key = os.environ.get(variable)
    if not key:
        raise AuthenticationError(f"no key: the environment variable {variable} is not set here")
    return key


def key_in_file(path: str) -> str:
    """Return the key in the file at `path`, on any Beam filesystem, without surrounding blanks.

    Raises AuthenticationError, in one line, if the file cannot be read here.
    """
    try:
        key = _content(path).decode().strip()
    except UnicodeDecodeError:
        raise AuthenticationError(f"no key: the file {path} is not text") from None
    except Exception as error:  # Beam's filesystems raise errors of any type
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AuthenticationError(f"no key: cannot read {path} here: {reason}") from None
    if not key:
        raise AuthenticationError(f"no key: the file {path} is empty")
    return key


def _content(path: str) -> bytes:
    if "://" not in path:
        return Path(path).read_bytes()
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path) as file:
        return bytes(file.read())


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
    """Raise AuthenticationError if a worker will not be able to use `version`.

    Raises nothing if the user who submits the job may not see the secret.
    """
    check_secret_manager()
    from google.api_core.exceptions import NotFound
    from google.cloud import secretmanager

    try:
        client = secretmanager.SecretManagerServiceClient()
        found = client.get_secret_version(request={"name": version}, retry=None, timeout=10)
    except NotFound:
        raise AuthenticationError(
            f"{version} does not exist; check the name, or run `gcloud secrets versions add`"
        ) from None
    except Exception:
        return  # not visible from here; a worker raises an error if it cannot read it
    if found.state.name != "ENABLED":
        state = found.state.name.lower()
        raise AuthenticationError(f"{version} is {state}; enable it, or choose another version")


def check_secret_manager() -> None:
    """Raise AuthenticationError unless Google's client of Secret Manager is installed."""
    try:
        importlib.import_module("google.cloud.secretmanager")
    except ImportError:
        raise AuthenticationError(
            "a key in Secret Manager needs Google's client: pip install 'apache-beam[gcp]'"
        ) from None
