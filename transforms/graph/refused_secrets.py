"""The secrets that a job may not store: Beam pickles every argument into the job. Pure.

A job's description is kept by its runner, is shown in consoles, and is staged in buckets. So a
transform takes the name of a variable or of a file, and the worker reads the secret there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.masking import is_secret_header, url_secrets
from ritellm.providers import split_model
from ritellm.providers.settings import url_variables

# Arguments that are a secret, and what to use instead.
_INSTEAD: Mapping[str, str] = {
    "api_key": (
        "name the environment variable that holds it in api_key_env, or a secret's version in"
        " api_key_secret (the worker reads both)"
    ),
    "azure_ad_token": "set AZURE_AD_TOKEN on the workers",
    "vertex_credentials": (
        "pass a path that exists on the workers, set VERTEXAI_CREDENTIALS there, or let them run"
        " as the service account"
    ),
    **{
        name: f"set {name.upper()} on the workers, or give them a role"
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    },
}
_ADDRESSES = ("base_url", "api_base")
_HEADERS = ("headers", "extra_headers")
_ON_THE_WORKER = "pass a new_client that reads it on the worker"

# Names of fields that hold a secret. `prompt_cache_key` and `max_tokens` are none.
_FIELD = re.compile(
    r"(^|[_-])(api[_-]?key|authorization([_-]token)?|(access|auth|bearer|refresh|ad)[_-]?token"
    r"|passw(or)?d|(client[_-]?)?secret|private[_-]?key|secret[_-]access[_-]key|credentials)$",
    re.IGNORECASE,
)
# The beginning of a header's value that is a credential under any name.
_SCHEME = re.compile(r"\s*(basic|bearer)\s+\S", re.IGNORECASE)


def refuse_secrets(model: str, params: Mapping[str, Any], new_client: Any = None) -> None:
    """Raise TypeError if `params` hold a secret; it says what to use instead.

    `new_client` is read too: the arguments of a `functools.partial` and the variables that a
    function takes from around it are pickled as well.
    """
    for where, remedy in (*_found(model, params), *_found(model, _carried_by(new_client))):
        what = "a key" if where == "api_key" else f"a secret ({where})"
        raise TypeError(f"the job would store {what}; {remedy}")


def _carried_by(new_client: Any) -> Mapping[str, Any]:
    """Return what is pickled with `new_client` by the name that it has there."""
    if isinstance(new_client, partial):
        return {name: value for name, value in new_client.keywords.items() if value}
    names = getattr(getattr(new_client, "__code__", None), "co_freevars", ())
    carried = {}
    for name, cell in zip(names, getattr(new_client, "__closure__", None) or (), strict=False):
        with suppress(ValueError):  # the variable has no value yet
            carried[name] = cell.cell_contents
    keys = {name for name, value in carried.items() if isinstance(value, str) and _is_key(name)}
    return {"api_key" if name in keys else name: value for name, value in carried.items() if value}


def _is_key(name: str) -> bool:
    return name.lower() in ("key", "token") or _FIELD.search(name) is not None


def check_variable(name: str | None) -> None:
    """Raise TypeError, which does not repeat it, if `name` is not one of a variable but a key."""
    if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise TypeError(
            "api_key_env must be the name of an environment variable, such as OPENAI_API_KEY; do"
            " not pass the key itself"
        )


def _found(model: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each argument that holds a secret, and what to use instead."""
    for name, value in params.items():
        if not value and name != "api_key":
            continue
        if name in _INSTEAD:
            if not (name == "vertex_credentials" and _is_path(value)):
                yield name, _INSTEAD[name]
        elif name in _ADDRESSES:
            if url_secrets(str(value)):
                yield name, f"set {_variable(model)} on the workers to the whole address"
        elif name in _HEADERS:
            yield from ((f"{name}: {header}", _ON_THE_WORKER) for header in _secret_in(value))
        elif name == "fallbacks":
            yield from _in_fallbacks(model, value)
        else:
            yield from ((f"{name}: {field}", _ON_THE_WORKER) for field in _fields(value))


def _in_fallbacks(model: str, fallbacks: Any) -> Iterator[tuple[str, str]]:
    for fallback in fallbacks if isinstance(fallbacks, (list, tuple)) else ():
        if isinstance(fallback, Mapping):
            own = fallback.get("model", model)
            for where, remedy in _found(own if isinstance(own, str) else model, fallback):
                instead = "set the usual variable of its provider on the workers"
                yield f"fallbacks: {where}", instead if where == "api_key" else remedy


def _secret_in(headers: Any) -> Iterator[str]:
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if is_secret_header(str(name)) or _SCHEME.match(str(value)):
                yield str(name)


def _fields(value: Any) -> Iterator[str]:
    """Yield the names of fields within `value` that hold a secret as text."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if isinstance(inner, str) and inner and _FIELD.search(str(name)):
                    yield str(name)
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value


def _is_path(value: Any) -> bool:
    is_text = isinstance(value, str) and "{" not in value and "\n" not in value
    return is_text and ("/" in value or value.endswith(".json"))


def _variable(model: str) -> str:
    """Return the variable for the address of `model`'s provider."""
    try:
        names = url_variables(split_model(model)[0]).split()
    except InvalidRequestError:
        names = []
    return names[0] if names else "PROVIDER_BASE_URL"
