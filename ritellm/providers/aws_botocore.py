"""Gets AWS credentials from botocore: roles, SSO, containers, processes, shared files.

Finding and renewing credentials is blocking I/O. It happens in `Endpoint.opener`, before an
attempt, and botocore itself decides when temporary credentials are due for renewal.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ritellm.errors import APIConnectionError, AuthenticationError
from ritellm.providers.aws_sigv4 import AwsCredentials

# Where the environment names other files: the name of botocore's setting for each.
_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "credentials_file",
    "AWS_CONFIG_FILE": "config_file",
}

_lock = threading.Lock()
_found: dict[tuple[str | None, ...], Any] = {}


def is_installed() -> bool:
    """Return whether botocore can be imported, without importing it."""
    return find_spec("botocore") is not None


def fresh_credentials(profile: str | None, environ: Mapping[str, str]) -> AwsCredentials | None:
    """Return credentials that have not expired, or None if botocore finds none; may block.

    Raises AuthenticationError, or APIConnectionError where another attempt may succeed.
    """
    exceptions = import_module("botocore.exceptions")
    try:
        with _lock:
            credentials = _credentials(profile, environ)
            frozen = credentials and credentials.get_frozen_credentials()
    except exceptions.HTTPClientError as error:
        raise APIConnectionError(
            f"cannot fetch AWS credentials: {error}", provider="bedrock"
        ) from None
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise AuthenticationError(f"no AWS credentials: {error}", provider="bedrock") from None
    return frozen and AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token or None)


def _credentials(profile: str | None, environ: Mapping[str, str]) -> Any:
    """Return botocore's credentials object, which renews itself. One search serves them all."""
    name = (profile, *map(environ.get, _FILES))
    if name not in _found:
        session = import_module("botocore.session").Session(profile=profile)
        for variable, setting in _FILES.items():
            if path := environ.get(variable):
                session.set_config_variable(setting, path)
        found = session.get_credentials()
        if found is None:
            return None  # not remembered: the user may log in meanwhile
        _found[name] = found
    return _found[name]
