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
    from ritellm.calls.plan import OnInterrupt, OnLength
    from ritellm.retry import RetryPolicy
    from ritellm.types import Timeouts

Object = Mapping[str, Any]


class ConnectionParams(TypedDict, total=False):
    """Where a request goes, and with which credentials and headers."""

    base_url: str | None
    """The root of the API. Default: `PROVIDER_BASE_URL`, or the provider's address."""
    api_base: str | None
    """The same as `base_url`, by litellm's name."""
    api_key: str | None
    """The key. Default: the provider's variable, such as `OPENAI_API_KEY`."""
    custom_llm_provider: str | None
    """The provider, if `model` does not begin with it."""
    deployment_id: str | None
    """Azure's name for the model."""
    headers: Mapping[str, str] | None
    """More headers of the request. A fallback at another provider does not get them."""
    extra_headers: Mapping[str, str] | None
    """The same as `headers`, which they override."""
    mock_response: Any
    """The response, instead of a request: a text, texts, chunks, a completion or an exception."""
    # The options of single providers: `ritellm.providers.OPTIONS`.
    api_version: str | None
    """Azure: the version of the API. Default: `AZURE_API_VERSION`."""
    aws_access_key_id: str | None
    """Bedrock: the id of the access key. Default: `AWS_ACCESS_KEY_ID`."""
    aws_profile_name: str | None
    """Bedrock: a profile of the AWS configuration. Default: `AWS_PROFILE`."""
    aws_region_name: str | None
    """Bedrock: the region. Default: `AWS_REGION`."""
    aws_secret_access_key: str | None
    """Bedrock: the secret of the access key. Default: `AWS_SECRET_ACCESS_KEY`."""
    aws_session_token: str | None
    """Bedrock: the token of a session. Default: `AWS_SESSION_TOKEN`."""
    azure_ad_token: str | None
    """Azure: a token of Entra ID, instead of a key. Default: `AZURE_AD_TOKEN`."""
    databricks_host: str | None
    """Databricks: the host of the workspace. Default: `DATABRICKS_HOST`."""
    organization: str | None
    """OpenAI: the organization that pays. Default: `OPENAI_ORG_ID`."""
    project: str | None
    """OpenAI: the project that pays. Default: `OPENAI_PROJECT_ID`."""
    snowflake_account: str | None
    """Snowflake: the account. Default: `SNOWFLAKE_ACCOUNT`."""
    vertex_credentials: Any
    """Vertex AI: credentials as a path, JSON or a dict. Default: `VERTEXAI_CREDENTIALS`."""
    vertex_location: str | None
    """Vertex AI: the location. Default: `VERTEXAI_LOCATION`."""
    vertex_project: str | None
    """Vertex AI: the project. Default: `VERTEXAI_PROJECT`."""


class PolicyParams(TypedDict, total=False):
    """How persistently a request is sent, and how its chunks are delivered and recorded."""

    timeout: Any
    """Seconds for all limits but `total`; or `Timeouts`, `httpx.Timeout`. Default: `Timeouts()`."""
    request_timeout: Timeouts | float | None
    """The same as `timeout`, by litellm's name."""
    num_retries: int | None
    """Attempts after the first, until the caller has seen a chunk. Default: `2`."""
    max_retries: int | None
    """The same as `num_retries`, by OpenAI's name."""
    retry: RetryPolicy | None
    """The whole policy of retries. Default: `RetryPolicy()`."""
    fallbacks: Sequence[str | Object] | None
    """Models for when the retries are used up: names, or dicts with a `model` and parameters."""
    on_interrupt: OnInterrupt
    """If a stream breaks: `"raise"`, `"restart"` or `"continue"`. Default: `"raise"`."""
    on_length: OnLength
    """If `max_tokens` cuts an answer off: `"stop"`, or `"continue"`. Default: `"stop"`."""
    buffer_msec: float | None
    """Milliseconds of a stream that are merged into one chunk. Default: 0, no merging."""
    buffer_chunks: int | None
    """The number of chunks that are merged into one. Default: 0, no merging."""
    record: object
    """The path of a file to record the exchange to, without keys."""
    replay_timing: bool
    """Whether the model `replay/PATH` replays at the recorded pace. Default: `False`."""


class FileParams(TypedDict, total=False):
    """What is read from this machine."""

    local_files: bool
    """Whether images and files that messages name by a path are read and sent. Default: `False`."""


class ChatParams(TypedDict, total=False):
    """OpenAI's chat parameters: https://platform.openai.com/docs/api-reference/chat/create."""

    audio: Object | None
    """The voice and the format of spoken answers."""
    frequency_penalty: float | None
    """Lowers the chance of tokens by how often they occurred: -2 to 2."""
    function_call: str | Object | None
    """OpenAI's old name for `tool_choice`."""
    functions: Sequence[Object] | None
    """OpenAI's old name for `tools`."""
    logit_bias: Mapping[str, float] | None
    """What is added to the log odds of tokens, by token id: -100 to 100."""
    logprobs: bool | None
    """Whether the answer has the log probability of each token."""
    max_completion_tokens: int | None
    """The most tokens of the answer, reasoning included."""
    max_tokens: int | None
    """The same. It is renamed for models that take only `max_completion_tokens`."""
    metadata: Object | None
    """Goes into logs and spans. It is sent with `store=True` only."""
    modalities: Sequence[str] | None
    """The kinds of output: text, audio."""
    n: int | None
    """The number of answers."""
    parallel_tool_calls: bool | None
    """Whether the model may call several tools at once."""
    prediction: Object | None
    """A text that the answer will mostly repeat."""
    presence_penalty: float | None
    """Lowers the chance of tokens that occurred: -2 to 2."""
    prompt_cache_key: str | None
    """A name that leads similar requests to the same cache."""
    reasoning_effort: str | None
    """How long the model thinks: none, minimal, low, medium, high, xhigh."""
    response_format: Object | type | None
    """The form of the answer: OpenAI's dict, or a pydantic model, whose schema is sent."""
    safety_identifier: str | None
    """A stable name of the end user, without personal data."""
    seed: int | None
    """A number that makes sampling repeatable, as far as the provider can."""
    service_tier: str | None
    """The tier of speed and price, such as "flex"."""
    stop: str | Sequence[str] | None
    """Texts that end the answer."""
    store: bool | None
    """Whether OpenAI keeps the answer."""
    stream_options: Object | None
    """Options of a stream. The usage is requested without them too."""
    temperature: float | None
    """The randomness of sampling: 0 to 2."""
    tool_choice: str | Object | None
    """Whether and which tool is called: "none", "auto", "required", or a tool by its name."""
    tools: Sequence[Object] | None
    """The tools that the model may call."""
    top_logprobs: int | None
    """How many alternatives each token has in `logprobs`: 0 to 20."""
    top_p: float | None
    """Samples from the likeliest tokens that have this share of the probability: 0 to 1."""
    user: str | None
    """A name of the end user."""
    verbosity: str | None
    """How long answers are: low, medium, high."""
    web_search_options: Object | None
    """Lets the model search the web, with these options."""


class CommonParams(TypedDict, total=False):
    """Sampling parameters that many compatible servers know and OpenAI does not."""

    chat_template_kwargs: Object | None
    """Variables of the chat template, for vLLM and others."""
    ignore_eos: bool | None
    """Whether the model writes on after its end token."""
    length_penalty: float | None
    """Favours longer answers (above 0) or shorter ones in a beam search."""
    min_p: float | None
    """Drops tokens below this share of the likeliest one's probability: 0 to 1."""
    min_tokens: int | None
    """The fewest tokens of the answer."""
    repetition_penalty: float | None
    """Divides the chance of tokens that occurred, the prompt's included; 1 is none."""
    stop_token_ids: Sequence[int] | None
    """The ids of tokens that end the answer."""
    thinking: Object | None
    """Anthropic's form of `reasoning_effort`, with a budget in tokens."""
    top_a: float | None
    """Drops tokens below this times the square of the highest probability: 0 to 1."""
    top_k: int | None
    """Samples from this many of the likeliest tokens."""
    typical_p: float | None
    """Samples from the most typical tokens that have this share of the probability: 0 to 1."""


class BodyParams(ChatParams, CommonParams, total=False):
    """What the model is given beside the messages."""

    additional_params: str | None
    """A JSON object, as a text, that is merged into the body."""
    drop_params: bool
    """Whether unsupported parameters are left out, instead of raising. Default: `False`."""
    extra_body: Object | None
    """Fields that are merged into the body unchanged."""


class AnswerParams(TypedDict, total=False):
    """What the answer must be."""

    answer: Answer | None
    """The schema of the answer, which is checked; the model is asked again for an invalid one."""


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
