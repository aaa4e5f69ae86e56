"""Azure OpenAI: the version of its API, and a key or a token of Microsoft Entra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.providers.settings import find_key, first_set, option

# The first version of the API that accepts stream_options, and so can send usage.
_STREAM_OPTIONS = "2024-09-01"


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint; its option `azure_auth` is "key" or "token"."""
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
            raise InvalidRequestError(
                f"azure_ad_token must be text, got {type(token).__name__}", provider=provider.name
            )
        key, values["azure_auth"] = token, "token"
    # The address is always the caller's own, but Azure always requires a key.
    return replace(draft, key=key or find_key(provider, environ), options=values)
