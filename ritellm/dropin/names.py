"""The provider in a model's name, as litellm's functions take it: in the name or beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ritellm.endpoints import Provider
from ritellm.errors import RitellmError
from ritellm.providers import resolve, split_model
from ritellm.providers.settings import first_set, url_variables


def prefixed(model: str, provider: str | None) -> str:
    """Return `model` with `provider` in front, unless it is there already."""
    return f"{provider}/{model}" if provider and not model.startswith(f"{provider}/") else model


def get_llm_provider(
    model: str,
    custom_llm_provider: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    **_: Any,
) -> tuple[str, str, str | None, str | None]:
    """Return the model's name at its provider, the provider, and the key and address as given.

    Raises UnknownProviderError, which is a BadRequestError.
    """
    name = prefixed(model, custom_llm_provider)
    provider, rest = split_model(name)
    prefix = name.partition("/")[0]
    # A synonym such as `ollama_chat` stays what the caller wrote.
    written = prefix if name == f"{prefix}/{rest}" else provider.name
    return rest, written, api_key, api_base


def validate_environment(
    model: str | None = None,
    api_key: str | None = None,
    api_base: str | None = None,
    api_version: str | None = None,
) -> dict[str, Any]:
    """Return whether the environment has what `model`'s provider needs, and what is missing.

    `{"keys_in_environment": False, "missing_keys": ["OPENAI_API_KEY"]}`: a list of variables. An
    unknown model needs nothing, as with litellm.
    """
    try:
        provider = split_model(model or "")[0]
    except RitellmError:
        return {"keys_in_environment": True, "missing_keys": []}
    missing = _missing(provider, os.environ, api_key, api_base)
    if missing and _resolves(provider, api_key, api_base):
        missing = []
    return {"keys_in_environment": not missing, "missing_keys": missing}


def _missing(
    provider: Provider, environ: Mapping[str, str], key: str | None, address: str | None
) -> list[str]:
    """Return the first variable of each setting of `provider` that is not set."""
    needed = []
    if not provider.key_optional and not key:
        needed.append(provider.key_env)
    if not address and not first_set(environ, url_variables(provider)):
        own = provider.base_url
        options = provider.options.items()
        needed += [variables for name, variables in options if own and f"{{{name}}}" in own]
        needed += [f"{provider.name.upper()}_API_BASE"] if not own and not provider.launcher else []
    return [each.split()[0] for each in needed if each and not first_set(environ, each)]


def _resolves(provider: Provider, key: str | None, address: str | None) -> bool:
    """Return whether the provider finds what it needs in another way, such as a profile of AWS."""
    try:
        resolve(provider, os.environ, api_key=key, base_url=address)
    except RitellmError:
        return False
    return True
