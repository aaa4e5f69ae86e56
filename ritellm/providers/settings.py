"""Read a provider's settings from the caller's arguments or from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import AuthenticationError, InvalidRequestError


def first_set(environ: Mapping[str, str], names: str) -> str | None:
    """Return the value of the first variable of `names` that is set and not empty, or None."""
    return next((value for name in names.split() if (value := environ.get(name))), None)


def url_variables(provider: Provider) -> str:
    """Return the names of the variables for `provider`'s address."""
    if provider.launcher:
        return ""
    name = provider.name.upper()
    return f"{name}_BASE_URL {name}_API_BASE {provider.url_env}".strip()


def option(
    provider: Provider, name: str, given: Mapping[str, Any], environ: Mapping[str, str]
) -> Any:
    """Return the option called `name` as given, or from its variables, or None."""
    return given.get(name) or first_set(environ, provider.options[name])


def options(
    provider: Provider, given: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return all options of `provider` that are set."""
    values = {name: option(provider, name, given, environ) for name in provider.options}
    return {name: str(value) for name, value in values.items() if value}


def find_key(provider: Provider, environ: Mapping[str, str], optional: bool = False) -> str | None:
    """Return the key in `environ`; raises AuthenticationError if a required one is missing.

    A key is `optional` at an address of the caller's own, where any server may run.
    """
    key = first_set(environ, provider.key_env)
    if key or optional or provider.key_optional or not provider.key_env:
        return key
    raise no_key(provider, f"set the environment variable {_either(provider.key_env)}")


def no_key(provider: Provider, remedy: str) -> AuthenticationError:
    """Return the error for a missing key, with its remedy."""
    return AuthenticationError(f"no key: {remedy}, or pass api_key", provider=provider.name)


def fill(provider: Provider, values: Mapping[str, str]) -> str:
    """Return `provider`'s own address with its `{options}` filled in, or "" without one."""
    address = provider.base_url or ""
    for name, variables in provider.options.items():
        if f"{{{name}}}" not in address:
            continue
        if name not in values:
            raise InvalidRequestError(
                f"{provider.name} needs {name}: pass it, or set {_either(variables)}",
                provider=provider.name,
            )
        host = values[name].removeprefix("https://").rstrip("/")
        address = address.replace(f"{{{name}}}", host)
    return address


def resolve_plain(
    draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]
) -> Endpoint:
    """Return the endpoint of a provider that needs only an address and a key."""
    provider = draft.provider
    values = options(provider, given, environ)
    return replace(
        draft,
        base_url=draft.base_url or fill(provider, values),
        key=draft.key or find_key(provider, environ, optional=bool(draft.base_url)),
        options=values,
    )


def _either(variables: str) -> str:
    return " or ".join(variables.split())
