"""The class of each error, whether a retry can help, and that no error shows a key."""

from __future__ import annotations

import pickle
import traceback

import orjson
import pytest

from ritellm import errors
from ritellm.calls.exchange import Exchange
from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    BadGatewayError,
    BadRequestError,
    ConflictError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RitellmError,
    ServiceUnavailableError,
    StreamTruncatedError,
    Timeout,
    UnknownProviderError,
    UnprocessableEntityError,
    UnsupportedParamsError,
    error_class,
    is_final,
)
from ritellm.types import Completion, Request
from ritellm.wire.errors.openai import decode_error, stream_error

KEY = "sk-proj-0123456789abcdef"
ALL = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RitellmError)
]


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        (301, APIError, False),
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, BadRequestError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (405, BadRequestError, False),
        (408, Timeout, True),
        (409, ConflictError, True),
        (413, BadRequestError, False),
        (418, BadRequestError, False),
        (422, UnprocessableEntityError, False),
        (429, RateLimitError, True),
        (500, InternalServerError, True),
        (501, InternalServerError, True),
        (502, BadGatewayError, True),
        (503, ServiceUnavailableError, True),
        (504, Timeout, True),
        (520, InternalServerError, True),
        (529, ServiceUnavailableError, True),
        (None, APIError, False),
    ],
)
def test_a_status_has_a_class_that_says_whether_a_retry_can_help(status, expected, retryable):
    assert error_class(status) is expected
    assert error_class(status, None, "never_heard_of") is expected
    assert expected.retryable is retryable


@pytest.mark.parametrize(
    ("status", "codes", "expected"),
    [
        # A code narrows a status ...
        (400, ["context_length_exceeded"], ContextWindowExceededError),
        (400, [None, "exceed_context_size_error"], ContextWindowExceededError),
        (400, ["content_filter"], ContentPolicyViolationError),
        (400, ["content_policy_violation", "invalid_request_error"], ContentPolicyViolationError),
        (400, ["invalid_request_error"], BadRequestError),
        (400, ["unknown", "context_length_exceeded"], ContextWindowExceededError),
        # ... and does not overrule it ...
        (401, ["invalid_request_error"], AuthenticationError),
        (401, ["context_length_exceeded"], AuthenticationError),
        (400, ["invalid_api_key"], BadRequestError),
        (429, ["insufficient_quota"], RateLimitError),
        (500, ["rate_limit_exceeded"], InternalServerError),
        # ... and stands for one where there is none.
        (None, ["context_length_exceeded"], ContextWindowExceededError),
        (None, ["rate_limit_exceeded"], RateLimitError),
        (None, ["insufficient_quota"], RateLimitError),
        (None, ["invalid_api_key"], AuthenticationError),
        (None, ["permission_error"], PermissionDeniedError),
        (None, ["model_not_found"], NotFoundError),
        (None, ["overloaded_error"], ServiceUnavailableError),
        (None, ["server_error"], InternalServerError),
        (None, ["api_error"], InternalServerError),
        (None, ["timeout_error"], Timeout),
        (None, ["never_heard_of", None], APIError),
    ],
)
def test_a_providers_code_narrows_a_status_and_does_not_override_it(status, codes, expected):
    assert error_class(status, *codes) is expected


@pytest.mark.parametrize(
    ("codes", "final"),
    [
        (["insufficient_quota"], True),
        ([None, "insufficient_quota"], True),
        (["billing_hard_limit_reached", None], True),
        (["rate_limit_exceeded", None], False),
        ([], False),
    ],
)
def test_an_exhausted_quota_is_not_retried(codes, final):
    assert is_final(*codes) is final


def test_the_tree_has_litellms_branches():
    assert issubclass(ContextWindowExceededError, BadRequestError)
    assert issubclass(ContentPolicyViolationError, BadRequestError)
    assert issubclass(StreamTruncatedError, APIConnectionError)
    assert issubclass(UnsupportedParamsError, InvalidRequestError)
    assert issubclass(UnknownProviderError, InvalidRequestError)
    assert not issubclass(InvalidRequestError, APIError)  # no API was asked
    statuses = {cls.__name__: cls.status_code for cls in ALL}
    assert statuses["ContextWindowExceededError"] == 400
    assert statuses["Timeout"] == 408
    assert statuses["APIError"] == statuses["APIConnectionError"] == 500
    assert statuses["RitellmError"] is None


# Every error can travel


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickle_with_all_its_fields(cls, protocol):
    partial = Completion(choices=[{"message": {"content": "Hel"}}])
    error = cls(
        "it broke",
        provider="openai",
        model="gpt-4o",
        status_code=418,
        code="teapot",
        retryable=not cls.retryable,
        retry_after=1.5,
        partial=partial,
        attempts=3,
    )
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is cls
    assert vars(twin) == vars(error)
    assert (twin.status_code, twin.code, twin.retryable) == (418, "teapot", not cls.retryable)
    assert (twin.retry_after, twin.attempts) == (1.5, 3)
    assert twin.partial.choices[0].message.content == "Hel"
    assert twin.llm_provider == "openai"
    assert str(twin) == str(error) == "openai/gpt-4o: it broke"
    assert twin.args == ("it broke",)


@pytest.mark.parametrize("cls", ALL)
def test_an_error_without_arguments_has_the_defaults_of_its_class(cls):
    error = pickle.loads(pickle.dumps(cls("it broke")))
    assert (error.status_code, error.retryable) == (cls.status_code, cls.retryable)
    assert (error.partial, error.retry_after, error.provider) == (None, None, None)
    assert str(error) == error.message == "it broke"


# What providers really say, with a status


def body(**error):
    return orjson.dumps({"error": error})


OPENAI_QUOTA = body(
    message="You exceeded your current quota, please check your plan and billing details.",
    type="insufficient_quota",
    param=None,
    code="insufficient_quota",
)
AZURE_FILTER = body(
    message="The response was filtered due to the prompt triggering Azure OpenAI's content"
    " management policy.",
    type=None,
    param="prompt",
    code="content_filter",
    status=400,
    innererror={
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
    },
)
NGINX = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n</body>\r\n</html>\r\n"
MISTRAL = b'{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}'
VLLM = b'{"object":"error","message":"The model `x` is unknown.","type":"NotFoundError","code":404}'
FASTAPI_LIST = orjson.dumps(
    {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}
)
LLAMACPP = body(
    code=400,
    message="the request exceeds the available context size",
    type="exceed_context_size_error",
    n_prompt_tokens=9000,
)
OPENAI_CONTEXT = body(
    message="This model's maximum context length is 128000 tokens.",
    type="invalid_request_error",
    param="messages",
    code="context_length_exceeded",
)

STATUS_ERRORS = {
    "OpenAI, quota": (
        429, OPENAI_QUOTA, RateLimitError, "insufficient_quota", False, "You exceeded",
    ),
    "OpenAI, rate": (
        429,
        body(message="Rate limit reached", type="tokens", code="rate_limit_exceeded"),
        RateLimitError, "rate_limit_exceeded", True, "Rate limit reached",
    ),
    "OpenAI, key": (
        401,
        body(message="Incorrect API key", type="invalid_request_error", code="invalid_api_key"),
        AuthenticationError, "invalid_api_key", False, "Incorrect API key",
    ),
    "OpenAI, context": (
        400, OPENAI_CONTEXT,
        ContextWindowExceededError, "context_length_exceeded", False, "This model's maximum",
    ),
    "Azure, filter": (
        400, AZURE_FILTER,
        ContentPolicyViolationError, "content_filter", False, "The response was filtered",
    ),
    "Azure, deployment": (
        404,
        body(code="DeploymentNotFound", message="The API deployment does not exist."),
        NotFoundError, "DeploymentNotFound", False, "The API deployment",
    ),
    "Anthropic, overloaded": (
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        ServiceUnavailableError, "overloaded_error", True, "Overloaded",
    ),
    "Groq, tool": (
        400,
        body(message="Failed to call a function.", type="invalid_request_error",
             code="tool_use_failed", failed_generation="<f>"),
        BadRequestError, "tool_use_failed", False, "Failed to call",
    ),
    "OpenRouter": (
        402, body(message="Insufficient credits", code=402), BadRequestError, None, False,
        "Insufficient credits",
    ),
    "Mistral": (400, MISTRAL, BadRequestError, "1500", False, "Invalid model: x"),
    "vLLM, old": (404, VLLM, NotFoundError, "NotFoundError", False, "The model `x`"),
    "llama.cpp": (
        400, LLAMACPP, ContextWindowExceededError, "exceed_context_size_error", False,
        "the request exceeds",
    ),
    "TGI": (
        422, b'{"error":"Input validation error: too long","error_type":"validation"}',
        UnprocessableEntityError, "validation", False, "Input validation error: too long",
    ),
    "TGI, full": (
        429, b'{"error":"Model is overloaded","error_type":"overloaded"}',
        RateLimitError, "overloaded", True, "Model is overloaded",
    ),
    "Ollama": (404, b'{"error":"model \'x\' not found"}', NotFoundError, None, False, "model 'x'"),
    "FastAPI": (404, b'{"detail":"Not Found"}', NotFoundError, None, False, "Not Found"),
    "FastAPI, list": (422, FASTAPI_LIST, UnprocessableEntityError, None, False, "Field required"),
    "a message of its own": (400, b'{"message":"no"}', BadRequestError, None, False, "no"),
    "nginx": (502, NGINX, BadGatewayError, None, True, "HTTP 502: <html> <head><title>502 Bad"),
    "text": (503, b"upstream error", ServiceUnavailableError, None, True, "HTTP 503: upstream"),
    "nothing": (500, b"", InternalServerError, None, True, "HTTP 500: no text"),
    "blanks": (500, b" \r\n", InternalServerError, None, True, "HTTP 500: no text"),
    "half a JSON": (500, b'{"error": {"mess', InternalServerError, None, True, '500: {"err'),
    "a JSON list": (400, b'[{"error":{"message":"no"}}]', BadRequestError, None, False, "400: [{"),
    "a JSON null": (500, b"null", InternalServerError, None, True, "HTTP 500: null"),
    "an error of null": (500, b'{"error":null}', InternalServerError, None, True, "HTTP 500"),
    "no UTF-8": (500, b"\xff\xfe", InternalServerError, None, True, "HTTP 500: \ufffd"),
    "a teapot": (418, b"short and stout", BadRequestError, None, False, "HTTP 418: short"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "content", "cls", "code", "retryable", "says"),
    STATUS_ERRORS.values(),
    ids=STATUS_ERRORS,
)
def test_every_providers_refusal_is_classified(status, content, cls, code, retryable, says):
    error = decode_error(status, content, {"retry-after": "7"})
    assert type(error) is cls
    assert (error.status_code, error.code, error.retryable) == (status, code, retryable)
    assert error.retry_after == 7.0
    assert says in error.message
    assert "\n" not in error.message
    assert len(error.message) < 400


# What providers really say inside a stream, where the status was 200

STREAM_ERRORS = {
    "OpenAI": (
        {"error": {"message": "The server had an error", "type": "server_error", "code": None}},
        InternalServerError, 500, "server_error", True,
    ),
    "OpenAI, rate": (
        {"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}},
        RateLimitError, 429, "rate_limit_exceeded", True,
    ),
    "OpenAI, quota": (
        {"error": {"message": "pay", "type": "insufficient_quota"}},
        RateLimitError, 429, "insufficient_quota", False,
    ),
    "Groq": (
        {"error": {"message": "Failed to call a function.", "type": "invalid_request_error",
                   "code": "tool_use_failed", "status_code": 400}},
        BadRequestError, 400, "tool_use_failed", False,
    ),
    "OpenRouter": (
        {"id": "gen-1", "error": {"code": 400, "message": "Token limit reached"}, "choices": []},
        BadRequestError, 400, None, False,
    ),
    "OpenRouter, busy": (
        {"error": {"code": 503, "message": "No provider", "metadata": {}}},
        ServiceUnavailableError, 503, None, True,
    ),
    "vLLM": (
        {"error": {"object": "error", "message": "engine died", "type": "InternalServerError",
                   "param": None, "code": 500}},
        InternalServerError, 500, "InternalServerError", True,
    ),
    "vLLM, bad request": (
        {"error": {"message": "too long", "type": "BadRequestError", "code": 400}},
        BadRequestError, 400, "BadRequestError", False,
    ),
    "llama.cpp": (
        {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}},
        ContextWindowExceededError, 400, "exceed_context_size_error", False,
    ),
    "TGI": (
        {"error": "Model is overloaded", "error_type": "overloaded"},
        ServiceUnavailableError, 503, "overloaded", True,
    ),
    "TGI, generation": (
        {"error": "Request failed during generation", "error_type": "generation"},
        InternalServerError, 500, "generation", True,
    ),
    "TGI, validation": (
        {"error": "`inputs` must have less than 1000 tokens", "error_type": "validation"},
        UnprocessableEntityError, 422, "validation", False,
    ),
    "Anthropic's words": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ServiceUnavailableError, 503, "overloaded_error", True,
    ),
    "Gemini's words": (
        {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
        ServiceUnavailableError, 503, None, True,
    ),
    "a status that is none": (
        {"error": {"message": "?", "code": 7, "status": True}},
        InternalServerError, 500, None, True,
    ),
    "no error object": (
        {"message": "bare", "type": "server_error"}, InternalServerError, 500, "server_error", True,
    ),
    "true": ({"error": True}, InternalServerError, 500, None, True),
    "nothing said": ({"error": {}}, InternalServerError, 500, None, True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "cls", "status", "code", "retryable"), STREAM_ERRORS.values(), ids=STREAM_ERRORS
)
def test_an_error_inside_a_stream_is_understood(payload, cls, status, code, retryable):
    error = stream_error(payload)
    assert type(error) is cls
    assert (error.status_code, error.code, error.retryable) == (status, code, retryable)
    said = payload.get("error", payload)
    message = said if isinstance(said, str) else said.get("message") if said is not True else None
    assert error.message == (message or "the provider reported an error without a message")


# The key


def exchange(stream=True):
    provider = Provider("openai", "openai_chat", "https://api.openai.com/v1")
    request = Request("gpt-4o", [{"role": "user", "content": "hi"}], stream=stream)
    return Exchange(request, Endpoint(provider, "https://api.openai.com/v1", KEY))


ECHO = orjson.dumps({"error": {"message": f"Incorrect API key provided: {KEY}. Sorry."}})


@pytest.mark.parametrize(
    ("status", "kind", "answer"),
    [
        (401, "application/json", ECHO),
        (401, "text/plain", b"who is " + KEY.encode() + b"?"),
        (200, "application/json", ECHO),
        (200, "text/event-stream", b"data: " + ECHO + b"\n\n"),
        (200, "text/event-stream", b"data: {" + KEY.encode() + b"\n\n"),
        (200, "text/html", b"<html>" + KEY.encode()),
    ],
)
def test_a_key_that_the_provider_echoes_is_not_in_the_error(status, kind, answer):
    attempt = exchange()
    attempt.receive_response(status, {"content-type": kind})
    attempt.receive_data(answer)
    attempt.receive_eof()
    error = attempt.error
    assert "[key]" in error.message
    told = [str(error), repr(error), repr(error.args), repr(vars(error))]
    told += traceback.format_exception(error)
    told.append(pickle.dumps(error).decode("latin-1"))
    assert not any(KEY in text for text in told)


def test_a_connection_error_that_names_the_key_is_scrubbed():
    attempt = exchange()
    attempt.receive_failure(APIConnectionError(f"Illegal header value 'Bearer {KEY}'"))
    assert KEY not in repr(attempt.error) + str(attempt.error)


def test_the_key_is_not_in_the_request_that_is_shown():
    request = exchange().http_request()
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(request)


def test_an_error_names_the_provider_and_the_model():
    attempt = exchange()
    attempt.receive_response(404, {"content-type": "application/json"})
    attempt.receive_data(b'{"error":{"message":"no such model","code":"model_not_found"}}')
    attempt.receive_eof()
    assert type(attempt.error) is NotFoundError
    assert str(attempt.error) == "openai/gpt-4o: no such model"
    assert (attempt.error.provider, attempt.error.model) == ("openai", "gpt-4o")
    assert attempt.error.attempts == 1


def test_an_html_page_is_an_error():
    attempt = exchange()
    attempt.receive_response(200, {"content-type": "text/html; charset=utf-8"})
    attempt.receive_data(b"<!DOCTYPE html><title>Log in")
    attempt.receive_eof()
    assert type(attempt.error) is APIResponseValidationError
    assert "<title>Log in" in attempt.error.message
    assert not attempt.error.retryable


def test_an_error_accepts_llm_provider():
    error = RateLimitError(message="slow down", llm_provider="openai", model="m")
    assert (error.provider, error.llm_provider, error.model) == ("openai", "openai", "m")
    assert str(pickle.loads(pickle.dumps(error))) == "openai/m: slow down"
