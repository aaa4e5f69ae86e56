"""The exceptions that calls raise, under litellm's names; `retryable` says if a retry can help.

    RitellmError
      UnknownProviderError, UnsupportedParamsError, InvalidRequestError  nothing was sent (400)
      AnswerInvalid                             the answer does not satisfy its schema
      AnswerRefused                             the model refuses to give the answer
      APIError                                  the provider refused, or sent something unreadable
        BadRequestError 400
          ContextWindowExceededError, ContentPolicyViolationError
        AuthenticationError 401    PermissionDeniedError 403    NotFoundError 404
        ConflictError 409 *        UnprocessableEntityError 422
        RateLimitError 429 *       (`insufficient_quota` is final)
        InternalServerError 500 *  BadGatewayError 502 *  ServiceUnavailableError 503, 529 *
        APIResponseValidationError the response is not in the dialect: an HTML page, broken JSON
        APIConnectionError *       no connection, or it broke
          StreamTruncatedError *   the bytes ended before the completion did
        Timeout 408 *
    (* retryable)

Errors are classified by status and by the provider's `code` and `type`. The provider's prose counts
only for the two subclasses of BadRequestError, by fixed phrases (`ritellm.wire.errors.phrases`).
"""

from __future__ import annotations

from typing import Any

from ritellm.types import Completion, Discarded


class RitellmError(Exception):
    """The root. `partial` is the completion so far, if a stream broke in the middle.

    `discarded` holds the attempts that the provider accepted, including the last one.
    """

    status_code: int | None = None
    retryable: bool = False
    discarded: tuple[Discarded, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status_code: int | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        partial: Completion | None = None,
        attempts: int = 0,
        llm_provider: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider or llm_provider
        self.model = model
        self.code = code
        self.retry_after = retry_after
        self.partial = partial
        self.attempts = attempts
        if status_code is not None:
            self.status_code = status_code
        if retryable is not None:
            self.retryable = retryable

    @property
    def llm_provider(self) -> str | None:
        """litellm's name for `provider`."""
        return self.provider

    def __str__(self) -> str:
        where = "/".join(part for part in (self.provider, self.model) if part)
        return f"{where}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(cls: type[RitellmError], message: str, state: dict[str, Any]) -> RitellmError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class InvalidRequestError(RitellmError):
    """The call has wrong arguments; nothing was sent."""

    status_code = 400


class APIError(RitellmError):
    """The provider responded with an error, or with something unreadable."""

    status_code = 500


class BadRequestError(APIError):
    """400: the provider rejects the request; a retry will not help."""

    status_code = 400


# litellm's users catch these two as a BadRequestError.
class UnknownProviderError(InvalidRequestError, BadRequestError):
    """The model's prefix names an unknown provider."""


class UnsupportedParamsError(InvalidRequestError, BadRequestError):
    """The dialect cannot express a parameter; `drop_params=True` leaves it out."""


class ContextWindowExceededError(BadRequestError):
    """The messages do not fit into the model's context window."""


class ContentPolicyViolationError(BadRequestError):
    """The provider refuses the content."""


class AuthenticationError(APIError):
    """401: the key is missing or wrong."""

    status_code = 401


class PermissionDeniedError(APIError):
    """403: the key may not do this."""

    status_code = 403


class NotFoundError(APIError):
    """404: the model or the address does not exist."""

    status_code = 404


class ConflictError(APIError):
    """409: the request collided with another one; OpenAI's own client retries."""

    status_code = 409
    retryable = True


class UnprocessableEntityError(APIError):
    """422: the provider understood the request but cannot carry it out."""

    status_code = 422


class RateLimitError(APIError):
    """429: too many requests; `retry_after` is the wait in seconds, if the provider named one."""

    status_code = 429
    retryable = True


class InternalServerError(APIError):
    """500: the provider's fault."""

    status_code = 500
    retryable = True


class BadGatewayError(APIError):
    """502: a gateway before the provider failed."""

    status_code = 502
    retryable = True


class ServiceUnavailableError(APIError):
    """503 or 529: overloaded or down."""

    status_code = 503
    retryable = True


class APIResponseValidationError(APIError):
    """The response is not in the dialect: an HTML page, broken JSON, an unknown frame."""

    status_code = 502


class APIConnectionError(APIError):
    """No connection, or it broke."""

    retryable = True


class StreamTruncatedError(APIConnectionError):
    """The bytes ended before the completion did; `partial` is the part that arrived."""


class Timeout(APIError):
    """408: one of the four timeouts ran out; the message says which."""

    status_code = 408
    retryable = True


class AnswerInvalid(RitellmError):
    """The answer does not satisfy its schema, also when asked again.

    `path` is the place of the first fault ("$.items[2].label"), `rule` the keyword of JSON Schema
    that it breaks, or a word of `ritellm.answers.faults`. `partial` is the last completion.
    """

    def __init__(self, message: str, *, path: str = "$", rule: str = "", **known: Any) -> None:
        super().__init__(message, **known)
        self.path = path
        self.rule = rule


class AnswerRefused(RitellmError):
    """The model refuses to give an answer with a schema, or a filter of the provider does."""


_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: Timeout,
    409: ConflictError,
    413: BadRequestError,
    422: UnprocessableEntityError,
    424: InternalServerError,  # Bedrock and TGI: the model behind the service failed
    429: RateLimitError,
    500: InternalServerError,
    502: BadGatewayError,
    503: ServiceUnavailableError,
    504: Timeout,
    529: ServiceUnavailableError,
}

# Providers' codes and types that are more specific than the status, or come without one.
_BY_CODE: dict[str, type[APIError]] = {
    "context_length_exceeded": ContextWindowExceededError,
    "exceed_context_size_error": ContextWindowExceededError,
    "content_policy_violation": ContentPolicyViolationError,
    "content_filter": ContentPolicyViolationError,
    "ResponsibleAIPolicyViolation": ContentPolicyViolationError,
    "insufficient_quota": RateLimitError,
    "billing_hard_limit_reached": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "model_not_found": NotFoundError,
    "not_found_error": NotFoundError,
    "invalid_request_error": BadRequestError,
    "overloaded_error": ServiceUnavailableError,
    "overloaded": ServiceUnavailableError,  # this and the next: Hugging Face's TGI
    "validation": UnprocessableEntityError,
    "server_error": InternalServerError,
    "api_error": InternalServerError,
    "timeout_error": Timeout,
    # Anthropic's own; it shares others with OpenAI.
    "billing_error": BadRequestError,
    "request_too_large": BadRequestError,
    "contract_spend_limit_reached": RateLimitError,
    "enforced_spend_limit_reached": RateLimitError,
    # Google's: https://cloud.google.com/apis/design/errors#error_codes
    "API_KEY_INVALID": AuthenticationError,
    "INVALID_ARGUMENT": BadRequestError,
    "FAILED_PRECONDITION": BadRequestError,
    "OUT_OF_RANGE": BadRequestError,
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": NotFoundError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "INTERNAL": InternalServerError,
    "UNKNOWN": InternalServerError,
    "UNAVAILABLE": ServiceUnavailableError,
    "DEADLINE_EXCEEDED": Timeout,
    # The Responses API's codes for errors inside a response.
    "invalid_prompt": BadRequestError,
    "bio_policy": ContentPolicyViolationError,
    "misalignment_policy_violation": ContentPolicyViolationError,
    "image_content_policy_violation": ContentPolicyViolationError,
    "vector_store_timeout": Timeout,
    **dict.fromkeys(
        "invalid_image invalid_image_format invalid_base64_image invalid_image_url"
        " image_too_large image_too_small image_parse_error invalid_image_mode"
        " image_file_too_large unsupported_image_media_type empty_image_file"
        " failed_to_download_image image_file_not_found data_residency_mismatch".split(),
        BadRequestError,
    ),
}

_FINAL_CODES = frozenset(
    "insufficient_quota billing_hard_limit_reached contract_spend_limit_reached"
    " enforced_spend_limit_reached".split()
)


def error_class(status: int | None, *codes: str | None) -> type[APIError]:
    """Return the class for a status and the provider's codes, the most specific code first.

    A code narrows a status but does not override it: a 401 stays an AuthenticationError.
    """
    by_status = _class_by_status(status)
    for code in codes:
        named = _BY_CODE.get(code or "")
        if named and (by_status is None or issubclass(named, by_status)):
            return named
    return by_status or APIError


def is_final(*codes: str | None) -> bool:
    """Return whether the provider's codes mean that waiting will not help."""
    return any(code in _FINAL_CODES for code in codes)


def _class_by_status(status: int | None) -> type[APIError] | None:
    if status is None:
        return None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return InternalServerError if status >= 500 else BadRequestError if status >= 400 else None


# What Python raises for a value of an unexpected type or size.
ABOUT_VALUES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# litellm's other names for the same classes.
OpenAIError = RitellmError
LiteLLMUnknownProvider = UnknownProviderError
