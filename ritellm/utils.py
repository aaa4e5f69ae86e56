"""litellm's module of this name: `from ritellm.utils import supports_response_schema`."""

from __future__ import annotations

from ritellm.calls.stream_facts import StreamFacts
from ritellm.dropin.costs import completion_cost, cost_per_token
from ritellm.dropin.models import get_model_info
from ritellm.dropin.names import get_llm_provider, validate_environment
from ritellm.dropin.registry import register_model
from ritellm.dropin.support import (
    get_supported_openai_params,
    supports_function_calling,
    supports_parallel_function_calling,
    supports_pdf_input,
    supports_reasoning,
    supports_response_schema,
    supports_system_messages,
    supports_tool_choice,
    supports_vision,
)
from ritellm.dropin.tokens import token_counter
from ritellm.types.utils import (
    Choices,
    Delta,
    Function,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)

CustomStreamWrapper = StreamFacts

__all__ = [
    "Choices",
    "CustomStreamWrapper",
    "Delta",
    "Function",
    "Message",
    "ModelResponse",
    "ModelResponseStream",
    "StreamingChoices",
    "Usage",
    "completion_cost",
    "cost_per_token",
    "get_llm_provider",
    "get_model_info",
    "get_supported_openai_params",
    "register_model",
    "supports_function_calling",
    "supports_parallel_function_calling",
    "supports_pdf_input",
    "supports_reasoning",
    "supports_response_schema",
    "supports_system_messages",
    "supports_tool_choice",
    "supports_vision",
    "token_counter",
    "validate_environment",
]
