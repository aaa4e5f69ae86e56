"""What each dialect can say, where its list of parameters does not tell. Data only.

`docs/providers.md` is made from this, from the dialects' `PARAMS` and from the providers' rows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capability:
    """What a dialect's translation covers.

    `owner` is the provider (or providers) whose own dialect it is: whoever else speaks it decides
    for itself what it does with a request. `params_in` names the dialect of `ritellm.wire` with
    `PARAMS`; "" means that every chat parameter is sent as it is.
    """

    owner: str
    params_in: str = ""
    images: bool = True
    files: bool = True
    usage: str = "comes unasked"


CAPABILITIES: dict[str, Capability] = {
    "openai_chat": Capability("openai", usage="asked for"),
    "openai_responses": Capability("openai", "openai_responses"),
    "azure_chat": Capability("azure", usage="asked for"),
    "azure_responses": Capability("azure", "openai_responses"),
    "anthropic": Capability("anthropic", "anthropic"),
    "vertex_anthropic": Capability("vertex_ai", "anthropic"),
    "gemini": Capability("gemini", "gemini"),
    "vertex_gemini": Capability("vertex_ai", "gemini"),
    "cohere": Capability("cohere", "cohere", files=False),
    "bedrock": Capability("bedrock", "bedrock"),
    "ollama": Capability("ollama", "ollama", files=False),
}
