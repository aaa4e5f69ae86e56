"""litellm's `token_counter`, which is an estimate here: ritellm has no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.token_estimate import estimate_request, estimate_text


class EstimatedTokens(int):
    """A number of tokens that is an estimate, as its repr says. It tends to be too high."""

    def __repr__(self) -> str:
        return f"{int(self)} (estimated)"

    __str__ = int.__repr__


def token_counter(
    model: str = "",
    custom_tokenizer: Any = None,
    text: str | Sequence[str] | None = None,
    messages: Sequence[Any] | None = None,
    count_response_tokens: bool | None = False,
    tools: Sequence[Any] | None = None,
    **_: Any,
) -> EstimatedTokens:
    """Return an estimate of the tokens of `text`, or of `messages` and `tools`.

    It is computed from the number of bytes, is the same for each model, and tends to be too high.
    The provider's own count is `completion.usage`. Raises InvalidRequestError without a text and
    without messages.
    """
    if text is None and messages is None:
        raise InvalidRequestError("token_counter needs text or messages")
    if text is not None:
        return EstimatedTokens(estimate_text(text if isinstance(text, str) else [*text]))
    return EstimatedTokens(estimate_request({"messages": messages, "tools": tools})[0])
