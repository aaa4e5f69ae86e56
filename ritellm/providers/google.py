"""Vertex AI: the address of a project, and a valid token from Google credentials.

`google-auth` fetches tokens with blocking I/O. This happens in `Endpoint.opener`, before an
attempt, and only when the last token has expired.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import (
    APIConnectionError,
    AuthenticationError,
    InvalidRequestError,
    RitellmError,
)
from ritellm.masking import without
from ritellm.providers.settings import first_set, option

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]

_lock = threading.Lock()
_loaded: dict[str, tuple[Any, str | None]] = {}


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint, with a token if the caller has one, else with an opener.

    `vertex_credentials` are a service account's JSON, a path to it, or an object of google-auth.
    Without them google-auth finds the application default credentials, and their project.
    """
    provider = draft.provider
    project = option(provider, "vertex_project", given, environ)
    location = option(provider, "vertex_location", given, environ) or "global"
    source = option(provider, "vertex_credentials", given, environ)
    key = draft.key or (None if source else first_set(environ, provider.key_env))
    if key:
        return _located(draft, key, project, location)
    # The address is left open too: it may need the credentials' project.
    return replace(draft, base_url="", opener=_opener(draft, source, project, location))


def _opener(
    draft: Endpoint, source: Any, project: str | None, location: str
) -> Callable[[], Endpoint]:
    def opened() -> Endpoint:
        with _lock:
            credentials, own_project = _credentials(source)
            token = _token(credentials)
        return _located(draft, token, project or own_project, location)

    return opened


def _located(draft: Endpoint, key: str, project: str | None, location: str) -> Endpoint:
    values = {"vertex_location": location, **({"vertex_project": project} if project else {})}
    given = draft.base_url
    address = given or _address(project, location)
    own = not given
    if project and _ROOT.fullmatch(given.rstrip("/")):
        version = "" if _VERSIONED.search(given) else "/v1"
        address = f"{given.rstrip('/')}{version}/projects/{project}/locations/{location}"
        own = True
    if draft.wire == "openai_chat" and own:
        address += "/endpoints/openapi"
    return replace(draft, base_url=address, key=key, options=values)


# An address without a project: a host, or the root of the API at a host or behind a path of a
# gateway. Any other address is used as it is, and so is a root if no project is known (a key of
# Vertex AI in express mode has none).
_ROOT = re.compile(r"https?://[^/?#]+(?:(?:/[^?#]*)?/v\d+(?:(?:alpha|beta)\d*)?)?")
_VERSIONED = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?/?$")


def _address(project: str | None, location: str) -> str:
    if not project:
        raise InvalidRequestError(
            "vertex_ai needs vertex_project: pass it, or set VERTEXAI_PROJECT"
            " or GOOGLE_CLOUD_PROJECT",
            provider="vertex_ai",
        )
    if location == "global":
        host = "aiplatform.googleapis.com"
    elif location in ("us", "eu"):  # a name for several regions
        host = f"aiplatform.{location}.rep.googleapis.com"
    else:
        host = f"{location}-aiplatform.googleapis.com"
    return f"https://{host}/v1/projects/{project}/locations/{location}"


def _credentials(source: Any) -> tuple[Any, str | None]:
    """Return credentials and their project, if it is known."""
    if source is not None and not isinstance(source, (str, Mapping)):
        return source, getattr(source, "project_id", None)
    name = source if isinstance(source, str) else json.dumps(source, default=dict, sort_keys=True)
    if name not in _loaded:
        _loaded[name] = _load(source)
    return _loaded[name]


def _load(source: str | Mapping[str, Any] | None) -> tuple[Any, str | None]:
    auth = _google("google.auth")
    try:
        if isinstance(source, str) and source.lstrip().startswith("{"):
            source = json.loads(source)
        if source is None:
            found = auth.default(scopes=SCOPES)
        elif isinstance(source, str):
            found = auth.load_credentials_from_file(source, scopes=SCOPES)
        else:
            found = auth.load_credentials_from_dict(source, scopes=SCOPES)
    except (auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise _refused(error, source) from None
    credentials, project = found
    return credentials, project or getattr(credentials, "project_id", None)


def _token(credentials: Any) -> str:
    if not credentials.valid:
        transport = _google("google.auth.transport.requests")
        exceptions = _google("google.auth.exceptions")
        try:
            credentials.refresh(transport.Request())
        except exceptions.TransportError as error:
            raise APIConnectionError(
                f"cannot reach Google's token server: {error}", provider="vertex_ai"
            ) from None
        except exceptions.GoogleAuthError as error:
            raise _refused(error) from None
    return str(credentials.token)


def _secrets_in(source: str | Mapping[str, Any] | None) -> list[str]:
    """Return what an error about the credentials in `source` must not repeat."""
    if isinstance(source, str):
        return [] if "/" in source or source.endswith(".json") else [source]
    return [str(value) for name, value in (source or {}).items() if name != "type"]


def _google(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InvalidRequestError(
            "Google credentials need google-auth: pip install 'google-auth[requests]', or pass a"
            " token as api_key",
            provider="vertex_ai",
        ) from None


def _refused(error: Exception, source: str | Mapping[str, Any] | None = None) -> RitellmError:
    reason = without(_secrets_in(source), str(error))
    return AuthenticationError(
        f"no Google credentials: {reason}; run `gcloud auth application-default login`, or pass"
        " vertex_credentials",
        provider="vertex_ai",
    )
