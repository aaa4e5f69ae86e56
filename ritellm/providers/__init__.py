"""Providers as data, and how a model's name becomes an address and a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import InvalidRequestError
from ritellm.masking import masked_url, proxy_secrets, url_secrets, without_user
from ritellm.providers.model_names import route, split_model
from ritellm.providers.settings import first_set, resolve_plain, url_variables
from ritellm.providers.table import PROVIDERS

__all__ = ["OPTIONS", "PROVIDERS", "address_in", "locate", "resolve", "route", "split_model"]

# The arguments of `completion()` that only some providers understand.
OPTIONS = frozenset(name for provider in PROVIDERS.values() for name in provider.options)


def resolve(
    provider: Provider,
    environ: Mapping[str, str],
    *,
    wire: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Endpoint:
    """Return the endpoint of `provider`; raises an error that names what is missing.

    Arguments count before `environ`, and `environ` before the provider's row. Options of other
    providers are ignored, since a client's defaults may serve several providers.

    The secrets of the address, and those of the proxies in `environ`, are secrets of the endpoint.
    """
    given = base_url or first_set(environ, url_variables(provider)) or ""
    address, login = without_user(given)
    secrets = (*url_secrets(given), *proxy_secrets(environ))
    draft = Endpoint(
        provider, address, api_key or None, wire or provider.wire, secrets=secrets, login=login
    )
    finish = _load(provider.resolver) if provider.resolver else resolve_plain
    endpoint: Endpoint = finish(draft, options or {}, environ)
    if not endpoint.base_url:
        if provider.launcher or endpoint.opener:
            return endpoint
        variables = " or ".join(url_variables(provider).split())
        raise InvalidRequestError(
            f"{provider.name} has no fixed address: pass base_url, or set {variables}",
            provider=provider.name,
        )
    if not _is_address(endpoint.base_url):
        raise InvalidRequestError(
            f"base_url must start with http:// or https://, and name a host,"
            f" got {masked_url(endpoint.base_url)!r}",
            provider=provider.name,
        )
    return endpoint


def address_in(environ: Mapping[str, str], model: str) -> str | None:
    """Return the address in `environ` for `model`'s provider, or None if it names none."""
    try:
        return first_set(environ, url_variables(split_model(model)[0]))
    except InvalidRequestError:  # an unknown model has no address
        return None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and _is_name(parts.hostname or "") and parts.port != 0
        return url.startswith(("http://", "https://")) and has_host
    except ValueError:  # a port that is not a number, or an unclosed bracket
        return False


def _is_name(host: str) -> bool:
    """Return whether each label of `host` has a length that names may have."""
    return ":" in host or all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def locate(endpoint: Endpoint, model: str) -> Endpoint:
    """Return `endpoint` with an address and a key that are valid now; may block.

    It starts a provider on this machine, which takes seconds the first time, and renews a key that
    expires. For every other provider it returns at once. Raises InvalidRequestError for a model
    that cannot be started.
    """
    if endpoint.opener:
        return endpoint.opener()
    launcher = endpoint.provider.launcher
    if endpoint.base_url or not launcher:
        return endpoint
    try:
        server = _load(launcher)(model)
    except (ImportError, ValueError) as error:  # its packages are missing, or it has no such model
        raise InvalidRequestError(str(error), provider=endpoint.provider.name) from None
    return replace(endpoint, base_url=server.base_url, key=server.api_key)


def _load(name: str) -> Any:
    """Return the function called "package.module:function"."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)
