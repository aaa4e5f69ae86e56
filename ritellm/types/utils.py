"""litellm's module of this name: `from ritellm.types.utils import Delta, ModelResponse, Usage`."""

from __future__ import annotations

from typing import Any

from ritellm.types import Chunk, Completion
from ritellm.types.parts import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    ChoiceLogprobs,
    Choices,
    CompletionTokensDetailsWrapper,
    Delta,
    Function,
    FunctionCall,
    Message,
    PromptTokensDetailsWrapper,
    StreamingChoices,
    Usage,
)

ModelResponse = Completion
ModelResponseStream = Chunk

# Typed dicts in litellm, which programs call to make a message or to annotate one.
ChatCompletionAssistantMessage = dict[str, Any]
ChatCompletionAssistantToolCall = dict[str, Any]
ChatCompletionDeveloperMessage = dict[str, Any]
ChatCompletionSystemMessage = dict[str, Any]
ChatCompletionToolMessage = dict[str, Any]
ChatCompletionUserMessage = dict[str, Any]
ModelInfo = dict[str, Any]

__all__ = [
    "ChatCompletionAssistantMessage",
    "ChatCompletionAssistantToolCall",
    "ChatCompletionDeltaToolCall",
    "ChatCompletionDeveloperMessage",
    "ChatCompletionMessageToolCall",
    "ChatCompletionSystemMessage",
    "ChatCompletionToolMessage",
    "ChatCompletionUserMessage",
    "ChoiceLogprobs",
    "Choices",
    "CompletionTokensDetailsWrapper",
    "Delta",
    "Function",
    "FunctionCall",
    "Message",
    "ModelInfo",
    "ModelResponse",
    "ModelResponseStream",
    "PromptTokensDetailsWrapper",
    "StreamingChoices",
    "Usage",
]
