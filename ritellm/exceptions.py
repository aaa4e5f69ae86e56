"""The errors under litellm's module name: `from ritellm.exceptions import RateLimitError`.

The classes of this module itself exist so that `except` clauses of programs for litellm work. Only
`ModelNotMappedError` is raised by ritellm.
"""

from __future__ import annotations

from typing import Any

from ritellm.errors import *  # noqa: F403
from ritellm.errors import (
    APIError,
    APIResponseValidationError,
    BadRequestError,
    InvalidRequestError,
    RitellmError,
    ServiceUnavailableError,
)


class ModelNotMappedError(InvalidRequestError):
    """The price of the model is unknown."""


class BudgetExceededError(RitellmError):
    """litellm's error for `max_budget`. Here the budget of a job ends it without an error."""

    status_code = 429

    def __init__(
        self, current_cost: Any = None, max_budget: Any = None, message: str | None = None, **_: Any
    ) -> None:
        text = f"Budget has been exceeded! Current cost: {current_cost}, Max budget: {max_budget}"
        super().__init__(message or text)
        self.current_cost = current_cost
        self.max_budget = max_budget


class AzureOpenAIError(APIError):
    """litellm's error of its Azure client. Here Azure's errors have the classes of all others."""


class ImageFetchError(BadRequestError):
    """litellm's error for an image that it cannot download. Here the provider downloads it."""


class RejectedRequestError(BadRequestError):
    """litellm's error for a request that a guardrail rejects."""


class JSONSchemaValidationError(APIResponseValidationError):
    """litellm's error for a response that does not fit the schema. Here the program checks it."""

    def __init__(
        self, model: str, llm_provider: str = "", raw_response: str = "", schema: str = ""
    ) -> None:
        super().__init__(
            f"the response does not fit the schema {schema}: {raw_response}",
            provider=llm_provider,
            model=model,
        )
        self.raw_response = raw_response
        self.schema = schema


class MidStreamFallbackError(ServiceUnavailableError):
    """litellm's error for a stream that breaks. Here it is raised with its own class."""


class RouterRateLimitError(RitellmError, ValueError):
    """litellm's error for a router without a model that may be used."""


class RouterRateLimitErrorBasic(RouterRateLimitError):
    """litellm's other error for the same."""
