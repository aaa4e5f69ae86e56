"""What each dialect supports beyond its list of parameters. Data only.

`docs/providers.md` is generated from this table, the dialects' `PARAMS` and the providers' rows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capability:
    """What a dialect supports.

    `owner` is the provider whose own dialect it is; other providers may treat the same request
    differently. `params_in` names the dialect of `ritellm.wire` that has `PARAMS`; "" means that
    every chat parameter is sent unchanged. `usage` says when the provider counts tokens.
    """

    owner: str
    params_in: str = ""
    images: bool = True
    files: bool = True
    usage: str = "always sent"


CAPABILITIES: dict[str, Capability] = {
    "openai_chat": Capability("openai", usage="requested"),
    "openai_responses": Capability("openai", "openai_responses"),
    "azure_chat": Capability("azure", usage="requested"),
    "azure_responses": Capability("azure", "openai_responses"),
    "anthropic": Capability("anthropic", "anthropic"),
    "vertex_anthropic": Capability("vertex_ai", "anthropic"),
    "gemini": Capability("gemini", "gemini"),
    "vertex_gemini": Capability("vertex_ai", "gemini"),
    "cohere": Capability("cohere", "cohere", files=False),
    "bedrock": Capability("bedrock", "bedrock"),
    "ollama": Capability("ollama", "ollama", files=False),
}
