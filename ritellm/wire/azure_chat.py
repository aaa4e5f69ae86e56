"""OpenAI's chat on Azure: other addresses and headers, the same bodies.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire import openai_chat
from ritellm.wire.openai_chat import decode_completion, decode_error, new_decoder, new_framing
from ritellm.wire.openai_chat.request import PATH
from ritellm.wire.request import in_path

if TYPE_CHECKING:
    from ritellm.wire.base import Wire

__all__ = ["build_request", "decode_completion", "decode_error", "new_decoder", "new_framing"]


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`; the model is a deployment's name."""
    deployment = f"/deployments/{in_path(request.model)}"
    return as_azure(openai_chat, request, endpoint, address(endpoint, PATH, deployment))


def as_azure(wire: Wire, request: Request, endpoint: Endpoint, url: str) -> HttpRequest:
    """Return the request that `wire` builds, with Azure's `url` and key."""
    built = wire.build_request(request, replace(endpoint, key=None))
    return replace(built, url=url, headers={**_key(endpoint), **built.headers})


def address(endpoint: Endpoint, path: str, dated: str = "") -> str:
    """Return the address to send to.

    `base_url` is the address of the resource, or a longer part of the whole address. A dated
    `api_version` gives `/openai` + `dated` + `path`. Without a version, or with "v1" or "preview",
    it is `/openai/v1` + `path`.
    """
    base, _, query = endpoint.base_url.partition("?")
    base = base.rstrip("/")
    version = endpoint.options.get("api_version") or ""
    by_date = version[:1].isdigit() and not base.endswith("/openai/v1")
    if not base.endswith(path):
        if not base.endswith("/openai/v1") and "/openai/deployments/" not in base:
            base = base.removesuffix("/openai") + "/openai" + (dated if by_date else "/v1")
        base += path
    if not query and (by_date or version == "preview"):
        query = f"api-version={version}"
    return f"{base}?{query}" if query else base


def _key(endpoint: Endpoint) -> Mapping[str, str]:
    if not endpoint.key:
        return {}
    if endpoint.options.get("azure_auth") == "token":
        return {"authorization": f"Bearer {endpoint.key}"}
    return {"api-key": endpoint.key}
