"""Prints the providers as tables: for the terminal, and for docs/providers.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ritellm.calls.support import params_of
from ritellm.endpoints import Provider
from ritellm.providers import PROVIDERS
from ritellm.providers.settings import url_variables
from ritellm.wire.capabilities import CAPABILITIES

# A column of the table and the parameter that makes it true.
_FEATURES = {
    "tools": "tools",
    "reasoning": "reasoning_effort",
    "structured output": "response_format",
    "logprobs": "logprobs",
    "n > 1": "n",
}

_HEAD = """\
# Providers

<!-- Made by `python -m ritellm providers --markdown > docs/providers.md`; a test compares. -->

A model is `provider/model`. The row of a provider shows its address, its dialect, and the variables
that may contain the key (the first one that is set is used). An argument overrides a variable:
`api_key=` for the key, `base_url=` (or `api_base=`) for the address. The address is also read from
`NAME_BASE_URL` and `NAME_API_BASE`, for example `OPENAI_BASE_URL`. It may be the API's root or the
whole address. You may omit the prefix of a well-known name: `gpt-4o`, `claude-sonnet-4-5`,
`gemini-2.5-flash`.
"""
_SUPPORT = """\
## What is supported

Every provider supports streams and whole completions. *yes*: translated to the provider's dialect.
*sent*: sent as with OpenAI; the effect depends on the model that is served there. *no*: an error
before anything is sent, or left out with `drop_params=True`.

Usage in a stream: *requested*: the client requests it in every stream. *always sent*: the provider
sends it without a request. *not requested*: the server rejects such a request; if it sends usage
anyway, the client passes it on.
"""
_OPTIONS = """\
## Options

Arguments of `completion()` that only one provider understands, and the variables that replace them.
For all providers, `local_files=True` reads the images and files that messages name by a local path.
"""


def as_text() -> str:
    """Return the table for a terminal: provider, dialect, address, and the key's variables."""
    rows = [("PROVIDER", "DIALECT", "BASE URL", "KEY"), *map(_where, PROVIDERS.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[3]])
        for row in rows
    )


def as_markdown() -> str:
    """Return docs/providers.md."""
    rows = PROVIDERS.values()
    where = [[name, wire, _code(url), key] for name, wire, url, key in map(_where, rows)]
    features = ("images", "files", *_FEATURES, "usage in a stream")
    parts = [
        _HEAD,
        *_table(("provider", "dialect", "base URL", "key"), where),
        "",
        *(f"- `{row.name}`: {row.note}." for row in rows if row.note),
        "",
        _SUPPORT,
        *_table(("provider", "dialect", *features), [s for row in rows for s in _support(row)]),
        "",
        _OPTIONS,
        *_table(("provider", "option", "variables"), [o for row in rows for o in _options(row)]),
    ]
    return "\n".join(parts)


def _where(provider: Provider) -> tuple[str, str, str, str]:
    url = provider.base_url or ("started here" if provider.launcher else "yours")
    keys = " or ".join(provider.key_env.split()) or "none"
    return (
        provider.name,
        provider.wire,
        url.replace("{", "<").replace("}", ">"),
        f"{keys} (optional)" if provider.key_optional else keys,
    )


def _support(provider: Provider) -> Iterator[list[str]]:
    """Yield a row for each dialect of the provider."""
    yield [f"`{provider.name}/`", *_cells(provider, provider.wire)]
    shown = {provider.wire}
    for pattern, wire in provider.routes.items():
        if wire not in shown:
            shown.add(wire)
            yield [f"`{provider.name}/{pattern}`", *_cells(provider, wire)]


def _cells(provider: Provider, wire: str) -> list[str]:
    can = CAPABILITIES[wire]
    known = params_of(provider, wire)
    spoken = [can.images, can.files, *(param in known for param in _FEATURES.values())]
    yes = "yes" if provider.name == can.owner else "sent"
    usage = can.usage if provider.quirks.stream_options is not None else "not requested"
    return [wire, *(yes if said else "no" for said in spoken), usage]


def _options(provider: Provider) -> Iterator[list[str]]:
    if provider.url_env:
        yield [provider.name, "`base_url`", " or ".join(url_variables(provider).split())]
    for name, variables in provider.options.items():
        yield [provider.name, f"`{name}`", " or ".join(variables.split()) or name.upper()]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _code(url: str) -> str:
    return f"`{url}`" if "://" in url else url
