"""The rows. A provider that speaks OpenAI's dialect is one line here."""

from __future__ import annotations

from ritellm.types import Provider

_CHAT = "openai_chat"

_ROWS = (
    Provider("openai", _CHAT, "https://api.openai.com/v1", "OPENAI_API_KEY"),
    Provider("mistral", _CHAT, "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    Provider("groq", _CHAT, "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    Provider("deepseek", _CHAT, "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    Provider("xai", _CHAT, "https://api.x.ai/v1", "XAI_API_KEY"),
    Provider("openrouter", _CHAT, "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    Provider(
        "hosted_vllm",
        _CHAT,
        "http://127.0.0.1:8000/v1",
        "HOSTED_VLLM_API_KEY",
        key_optional=True,
    ),
    Provider("llamacpp", _CHAT, "http://127.0.0.1:8080/v1", "LLAMACPP_API_KEY", key_optional=True),
    Provider("local", _CHAT, launcher="ritellm.local:acquire"),
)

PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}
