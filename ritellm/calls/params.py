"""The parameters of `completion()` with their types, in groups by what a parameter decides.

Each group is a `TypedDict`, so editors and type checkers know every name:

| group              | decides                                        | who may set it          |
|--------------------|------------------------------------------------|-------------------------|
| `ConnectionParams` | where a request goes, with which credentials   | the caller              |
| `PolicyParams`     | timeouts, retries, fallbacks, recording        | the caller              |
| `FileParams`       | whether local files are read                   | the caller              |
| `AnswerParams`     | the schema of the answer, an object of Python  | the caller              |
| `BodyParams`       | what the model is given                        | the caller, or a row    |
| `IgnoredParams`    | nothing: litellm's bookkeeping                 | the caller, or a row    |

Code that takes parameters from data (a row of a file) must refuse `CALLER_ONLY`: a row could send
the caller's key to an address of its own, or spend it at another provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from ritellm.answers.answer import Answer
    from ritellm.calls.plan import OnInterrupt
    from ritellm.retry import RetryPolicy
    from ritellm.types import Timeouts

Object = Mapping[str, Any]


class ConnectionParams(TypedDict, total=False):
    """Where a request goes, and with which credentials and headers."""

    base_url: str | None
    api_base: str | None  # litellm's name for base_url
    api_key: str | None
    custom_llm_provider: str | None  # the provider, when `model` does not begin with it
    deployment_id: str | None  # Azure's name for the model
    headers: Mapping[str, str] | None
    extra_headers: Mapping[str, str] | None  # these override `headers`
    mock_response: Any  # the response to return instead of sending the request
    # The options of single providers: `ritellm.providers.OPTIONS`.
    api_version: str | None
    aws_access_key_id: str | None
    aws_profile_name: str | None
    aws_region_name: str | None
    aws_secret_access_key: str | None
    aws_session_token: str | None
    azure_ad_token: str | None
    databricks_host: str | None
    organization: str | None
    project: str | None
    snowflake_account: str | None
    vertex_credentials: Any  # a path, a JSON text or a dict
    vertex_location: str | None
    vertex_project: str | None


class PolicyParams(TypedDict, total=False):
    """How persistently a request is sent, and how its chunks are delivered and recorded."""

    timeout: Any  # seconds, `Timeouts` or `httpx.Timeout`
    request_timeout: Timeouts | float | None  # litellm's name for timeout
    num_retries: int | None
    max_retries: int | None  # OpenAI's name for num_retries
    retry: RetryPolicy | None
    fallbacks: Sequence[str | Object] | None  # models, or dicts with a `model` and parameters
    on_interrupt: OnInterrupt
    buffer_msec: float | None  # merges the chunks of this many milliseconds
    buffer_chunks: int | None  # merges this many chunks
    record: object  # the path of the file to record to, without keys
    replay_timing: bool  # whether a recording is replayed at its own pace


class FileParams(TypedDict, total=False):
    """What is read from this machine."""

    local_files: bool  # reads the images and files that messages name by a path


class ChatParams(TypedDict, total=False):
    """OpenAI's chat parameters: https://platform.openai.com/docs/api-reference/chat/create."""

    audio: Object | None
    frequency_penalty: float | None
    function_call: str | Object | None
    functions: Sequence[Object] | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    metadata: Object | None  # goes into logs and spans; it is sent with `store=True` only
    modalities: Sequence[str] | None
    n: int | None
    parallel_tool_calls: bool | None
    prediction: Object | None
    presence_penalty: float | None
    prompt_cache_key: str | None
    reasoning_effort: str | None
    response_format: Object | type | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    stop: str | Sequence[str] | None
    store: bool | None
    stream_options: Object | None
    temperature: float | None
    tool_choice: str | Object | None
    tools: Sequence[Object] | None
    top_logprobs: int | None
    top_p: float | None
    user: str | None
    verbosity: str | None
    web_search_options: Object | None


class CommonParams(TypedDict, total=False):
    """Sampling parameters that many compatible servers know and OpenAI does not."""

    chat_template_kwargs: Object | None
    ignore_eos: bool | None
    length_penalty: float | None
    min_p: float | None
    min_tokens: int | None
    repetition_penalty: float | None
    stop_token_ids: Sequence[int] | None
    thinking: Object | None
    top_a: float | None
    top_k: int | None
    typical_p: float | None


class BodyParams(ChatParams, CommonParams, total=False):
    """What the model is given beside the messages."""

    additional_params: str | None  # a JSON object that is merged into the body
    drop_params: bool  # leaves out what the provider does not support, instead of raising
    extra_body: Object | None  # fields that are merged into the body


class AnswerParams(TypedDict, total=False):
    """What the answer must be."""

    answer: Answer | None  # it is checked, and the model is asked again for an invalid one


class IgnoredParams(TypedDict, total=False):
    """litellm's own bookkeeping: it changes neither the request nor the response."""

    base_model: Any
    caching: Any
    input_cost_per_token: Any
    litellm_call_id: Any
    litellm_metadata: Any
    litellm_session_id: Any
    litellm_trace_id: Any
    logger_fn: Any
    model_info: Any
    output_cost_per_token: Any
    verbose: Any


class CompletionParams(
    ConnectionParams,
    PolicyParams,
    FileParams,
    AnswerParams,
    BodyParams,
    IgnoredParams,
    total=False,
):
    """All parameters of `completion()` but `model`, `messages` and `stream`."""


CONNECTION = ConnectionParams.__optional_keys__
POLICY = PolicyParams.__optional_keys__
CHAT_PARAMS = ChatParams.__optional_keys__
COMMON_PARAMS = CommonParams.__optional_keys__
IGNORED = IgnoredParams.__optional_keys__
CALLER_ONLY = CONNECTION | POLICY | FileParams.__optional_keys__
