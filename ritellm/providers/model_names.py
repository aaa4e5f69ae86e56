"""Find the provider in a model's name, or suggest one."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from ritellm.endpoints import Provider
from ritellm.errors import InvalidRequestError, UnknownProviderError
from ritellm.providers.table import PROVIDERS
from ritellm.suggest import nearest

# Patterns of names that only one provider uses. Open models (gpt-oss, llama, Ollama's `name:tag`)
# run at many providers, so they need a prefix.
_UNMISTAKABLE = {
    "openai": r"gpt-(?!oss)|chatgpt-|codex-|o[1-9](-|$)|ft:(gpt|o[1-9])",
    "anthropic": r"claude-",
    "gemini": r"gemini-",
    "cohere": r"command-|c4ai-",
    "mistral": r"(open-)?(mistral|mixtral|ministral|codestral|magistral|devstral|pixtral)-",
    "deepseek": r"deepseek-",
    "xai": r"grok-",
    "moonshot": r"kimi-|moonshot-",
    "zai": r"glm-",
}
# litellm's names of providers that have another name here.
_SYNONYMS = {"cohere_chat": "cohere", "ollama_chat": "ollama", "vertex_ai_beta": "vertex_ai"}
# Common names of providers: suggested, but not accepted.
_NICKNAMES = {
    "aws": "bedrock",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "claude": "anthropic",
    "fireworks": "fireworks_ai",
    "google": "gemini",
    "grok": "xai",
    "hf": "huggingface",
    "kimi": "moonshot",
    "llama_cpp": "llamacpp",
    "lmstudio": "lm_studio",
    "nvidia": "nvidia_nim",
    "text-completion-openai": "openai",
    "together": "together_ai",
    "vertex": "vertex_ai",
    "vllm": "hosted_vllm",
    "z-ai": "zai",
    "zhipu": "zai",
}


def split_model(model: str) -> tuple[Provider, str]:
    """Return the provider and the provider's own name for `model` ("provider/model").

    The prefix is optional for unmistakable names. Everything after the first slash belongs to the
    model's name.
    """
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequestError(f"model must be a name like 'openai/gpt-4o-mini', got {model!r}")
    name, slash, rest = model.partition("/")
    provider = PROVIDERS.get(_SYNONYMS.get(name, name))
    if provider and rest:
        return provider, rest
    if not slash and (owner := _owner(model)):
        return PROVIDERS[owner], model
    raise UnknownProviderError(_unknown(model, name, bool(slash)))


def route(provider: Provider, model: str) -> tuple[str, str]:
    """Return `provider`'s dialect for `model`, and the model's name at the provider."""
    for pattern, wire in provider.routes.items():
        if pattern.endswith("/") and model.startswith(pattern):
            return wire, model.removeprefix(pattern)
        if fnmatchcase(model, pattern):
            return wire, model
    return provider.wire, model


def _owner(model: str) -> str | None:
    if ":" in model and not model.startswith("ft:"):
        return None
    return next((name for name, word in _UNMISTAKABLE.items() if re.match(word, model)), None)


def _unknown(model: str, name: str, has_slash: bool) -> str:
    known = ", ".join(sorted(PROVIDERS))
    if name in PROVIDERS:
        return f"model {model!r} names a provider but no model: write {name}/MODEL"
    if not has_slash:
        return f"model {model!r} names no provider: write PROVIDER/{model}, with one of {known}"
    near = _NICKNAMES.get(name) or nearest(name, PROVIDERS)
    rest = model.partition("/")[2]
    meant = f"; did you mean {near}/{rest}?" if near and rest else ";"
    return (
        f"unknown provider {name!r} in {model!r}{meant} the provider comes first, as in"
        f" openrouter/{model}; the known providers are {known}"
    )
