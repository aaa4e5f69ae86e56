"""Derives Ollama's address from OLLAMA_HOST, the address that its server listens on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.providers.settings import resolve_plain


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint; OLLAMA_HOST may be a URL, `host:port`, a host, or 0.0.0.0."""
    if draft.base_url and draft.base_url == environ.get("OLLAMA_HOST"):
        draft = replace(draft, base_url=_address(draft.base_url))
    return resolve_plain(draft, given, environ)


def _address(host: str) -> str:
    _, mark, rest = host.rpartition("://")
    if mark:
        return host
    name, _, port = rest.rstrip("/").partition(":")
    # A server that listens on all addresses is reachable at this machine's own.
    name = "127.0.0.1" if name in ("", "0.0.0.0") else name
    return f"http://{name}:{port or 11434}"
