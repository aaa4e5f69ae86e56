"""Azure OpenAI: a resource's address, and a key or a token of Microsoft Entra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.providers.settings import find_key, first_set, option

# From this version of the API on, a stream can be asked for its usage.
_STREAM_OPTIONS = "2024-09-01"


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint; its option `azure_auth` says which kind of key it has."""
    provider = draft.provider
    values = {"azure_auth": "key"}
    version = option(provider, "api_version", given, environ)
    if version:
        values["api_version"] = str(version)
        if str(version)[:1].isdigit() and str(version) < _STREAM_OPTIONS:
            quirks = replace(provider.quirks, stream_options=None)
            draft = replace(draft, provider=replace(provider, quirks=quirks))
    key = draft.key
    token = given.get("azure_ad_token")
    if key is None and not token:
        key = first_set(environ, provider.key_env)
        token = option(provider, "azure_ad_token", given, environ)
    if key is None and token:
        if not isinstance(token, str):
            raise InvalidRequestError("azure_ad_token must be text", provider=provider.name)
        key, values["azure_auth"] = token, "token"
    # Azure's address is always the caller's own, but never anybody's server.
    return replace(draft, key=key or find_key(provider, environ), options=values)
