"""Who serves, as data: one row each, and how a model's name becomes an address and a key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module

from ritellm.errors import AuthenticationError, InvalidRequestError, UnknownProviderError
from ritellm.providers.table import PROVIDERS
from ritellm.types import Endpoint, Provider


def split_model(model: str) -> tuple[Provider, str]:
    """Return the provider and the provider's own name for `model` ("provider/model")."""
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequestError(f"model must be a name like 'openai/gpt-4o-mini', not {model!r}")
    name, slash, rest = model.partition("/")
    provider = PROVIDERS.get(name)
    if provider and rest:
        return provider, rest
    raise UnknownProviderError(_unknown(model, name, bool(slash)))


def resolve(
    provider: Provider,
    environ: Mapping[str, str],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
) -> Endpoint:
    """Return where and with which key to ask `provider`; raises what the user must mend."""
    address = base_url or provider.base_url or ""
    if not address and not provider.launcher:
        raise InvalidRequestError(
            f"{provider.name} has no fixed address: pass base_url", provider=provider.name
        )
    if address and not address.startswith(("http://", "https://")):
        raise InvalidRequestError(
            f"base_url must start with http:// or https://, not {address!r}", provider=provider.name
        )
    return Endpoint(provider, address, api_key or _key(provider, environ, bool(base_url)))


def locate(endpoint: Endpoint, model: str) -> Endpoint:
    """Return `endpoint` with an address that answers; starts what runs on this machine.

    May take seconds the first time; returns at once for every provider that is reached by network.
    """
    launcher = endpoint.provider.launcher
    if endpoint.base_url or not launcher:
        return endpoint
    module, _, function = launcher.partition(":")
    server = getattr(import_module(module), function)(model)
    return replace(endpoint, base_url=server.base_url, key=server.api_key)


def _key(provider: Provider, environ: Mapping[str, str], own_address: bool) -> str | None:
    key = environ.get(provider.key_env) if provider.key_env else None
    if key or provider.key_optional or not provider.key_env or own_address:
        return key or None
    raise AuthenticationError(
        f"no key: set the environment variable {provider.key_env}, or pass api_key",
        provider=provider.name,
    )


def _unknown(model: str, name: str, has_slash: bool) -> str:
    known = ", ".join(sorted(PROVIDERS))
    if not has_slash:
        return f"model {model!r} names no provider: write PROVIDER/{model}, with one of {known}"
    if name in PROVIDERS:
        return f"model {model!r} names a provider but no model: write {name}/MODEL"
    near = difflib.get_close_matches(name, PROVIDERS, n=1)
    hint = f"; did you mean {near[0]}/{model.partition('/')[2]}?" if near else ""
    return f"unknown provider {name!r} in {model!r}{hint} Known: {known}"
