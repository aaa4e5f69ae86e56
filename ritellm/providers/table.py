"""The table of providers: one row for each, from its own documentation.

A provider with OpenAI's chat dialect needs only a name, an address, and the variable that holds the
key. Everything else is an exception, explained by a comment.
"""

from __future__ import annotations

from ritellm.endpoints import Prefill, Provider, Quirks
from ritellm.wire.call_ids import MISTRAL, OPENAI_CHAT

_CHAT = "openai_chat"

# https://platform.openai.com/docs/guides/reasoning: these models refuse max_tokens. A
# deployment on Azure can have any name, but most are named after their model.
# A tuned model has the name of its base behind `ft:`, and a router's model has the maker's before
# a slash.
_NAMES = ("o[1-9]*", "*[/:.]o[1-9]*", "*gpt-[5-9]*", "*gpt[5-9]*")
_COMPLETION_TOKENS = {"max_tokens": "max_completion_tokens"}
_REASONING = dict.fromkeys(_NAMES, _COMPLETION_TOKENS)
_DEPLOYED = {**_REASONING, **dict.fromkeys(("*[-_]o[1-9]", "*[-_]o[1-9][-_]*"), _COMPLETION_TOKENS)}
_MAX_TOKENS_ONLY = {"*": {"max_completion_tokens": "max_tokens"}}
_REASONING_CONTENT = {"reasoning_content": "reasoning_content"}
_REASONING_DETAILS = {"reasoning_details": "reasoning_details"}
# The fields of messages in OpenAI's schema. Some servers refuse any other field.
_FIELDS = frozenset("content function_call name role tool_call_id tool_calls".split())

# https://platform.claude.com/docs/en/build-with-claude/working-with-messages: not since Claude
# 4.6, and not with thinking.
_CLAUDE_PREFILL = Prefill(
    strips=True,
    models=(
        "claude-[23]*",
        "claude-*-4",
        "claude-*-4-[0-5]",
        "claude-*-4-[0-5]-*",
        "claude-*-4-20*",
    ),
    unless=frozenset({"reasoning_effort", "thinking"}),
)

_ROWS = (
    Provider(
        "openai",
        _CHAT,
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        options={
            "organization": "OPENAI_ORG_ID OPENAI_ORGANIZATION",
            "project": "OPENAI_PROJECT_ID",
        },
        headers={"openai-organization": "organization", "openai-project": "project"},
        routes={"responses/": "openai_responses"},
        # The padding hides lengths from eavesdroppers, and costs 7 % of the bytes.
        quirks=Quirks(
            {"include_obfuscation": False},
            _REASONING,
            developer=True,
            call_ids=OPENAI_CHAT,
            background=True,
        ),
        note="with base_url: any server that speaks OpenAI's chat dialect",
    ),
    Provider(
        "azure",
        "azure_chat",
        None,
        "AZURE_API_KEY AZURE_OPENAI_API_KEY",
        url_env="AZURE_OPENAI_ENDPOINT",
        options={
            "api_version": "AZURE_API_VERSION OPENAI_API_VERSION",
            "azure_ad_token": "AZURE_AD_TOKEN AZURE_OPENAI_AD_TOKEN",
        },
        routes={"responses/": "azure_responses"},
        resolver="ritellm.providers.azure:resolve",
        quirks=Quirks(renames=_DEPLOYED, developer=True, call_ids=OPENAI_CHAT, background=True),
        note="base_url is https://RESOURCE.openai.azure.com, the model a deployment; a dated"
        " api_version means the older addresses",
    ),
    Provider(
        "anthropic",
        "anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        quirks=Quirks(prefill=_CLAUDE_PREFILL),
    ),
    Provider(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY GOOGLE_API_KEY",
    ),
    Provider(
        "vertex_ai",
        "vertex_gemini",
        "https://{vertex_location}-aiplatform.googleapis.com/v1",
        # Terraform's and gcloud's names for a token that is renewed elsewhere.
        "GOOGLE_OAUTH_ACCESS_TOKEN CLOUDSDK_AUTH_ACCESS_TOKEN",
        options={
            "vertex_project": "VERTEXAI_PROJECT GOOGLE_CLOUD_PROJECT",
            "vertex_location": "VERTEXAI_LOCATION GOOGLE_CLOUD_LOCATION",
            "vertex_credentials": "VERTEXAI_CREDENTIALS",
        },
        # A Claude may also be named by its path in the Model Garden.
        routes={
            "claude-*": "vertex_anthropic",
            "openapi/": _CHAT,
            "*anthropic/*claude-*": "vertex_anthropic",
        },
        resolver="ritellm.providers.google:resolve",
        note="without a token: Google's application default credentials; location is `global`"
        " by default",
    ),
    Provider(
        "bedrock",
        "bedrock",
        "https://bedrock-runtime.{aws_region_name}.amazonaws.com",
        "AWS_BEARER_TOKEN_BEDROCK",
        url_env="AWS_ENDPOINT_URL_BEDROCK_RUNTIME AWS_BEDROCK_RUNTIME_ENDPOINT",
        options={
            "aws_region_name": "AWS_REGION_NAME AWS_REGION AWS_DEFAULT_REGION",
            "aws_profile_name": "AWS_PROFILE",
            # These three are read together.
            "aws_access_key_id": "",
            "aws_secret_access_key": "",
            "aws_session_token": "",
        },
        routes={"converse/": "bedrock"},
        resolver="ritellm.providers.aws:resolve",
        note="without a bearer key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE;"
        " with the extra [aws] also a role, SSO or a container's credentials, through botocore",
    ),
    Provider(
        "mistral",
        _CHAT,
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        # 422 extra_forbidden for anything outside its schema; usage is always sent.
        quirks=Quirks(
            None,
            {"*": {"max_completion_tokens": "max_tokens", "seed": "random_seed"}},
            lacks=frozenset({"logprobs", "top_logprobs", "logit_bias", "user"}),
            fields=_FIELDS - {"function_call", "name"} | {"prefix"},
            call_ids=MISTRAL,
            prefill=Prefill({"prefix": True}, echoes=True),
        ),
    ),
    Provider("cohere", "cohere", "https://api.cohere.com/v2", "COHERE_API_KEY CO_API_KEY"),
    Provider(
        "groq",
        _CHAT,
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        # https://console.groq.com/docs/openai: 400 if they are present; n must be 1. It answers
        # "property 'x' is unsupported" for any other field of a message.
        quirks=Quirks(
            lacks=frozenset({"logprobs", "top_logprobs", "logit_bias", "n"}),
            fields=_FIELDS,
            # https://console.groq.com/docs/reasoning
            thinks={"*qwen*": "default"},
        ),
    ),
    Provider(
        "deepseek",
        _CHAT,
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        # After a tool's result it continues reasoning only if earlier reasoning is sent back.
        quirks=Quirks(
            renames=_MAX_TOKENS_ONLY,
            takes_back=_REASONING_CONTENT,
            # https://api-docs.deepseek.com/guides/chat_prefix_completion
            prefill=Prefill({"prefix": True}, path="/beta"),
        ),
    ),
    Provider("xai", _CHAT, "https://api.x.ai/v1", "XAI_API_KEY"),
    Provider(
        "openrouter",
        _CHAT,
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY OR_API_KEY",
        # https://openrouter.ai/docs/api-reference/overview: developer is among its roles, and it
        # ignores parameters that a model does not support.
        quirks=Quirks(takes_back=_REASONING_DETAILS, developer=True, router=True),
    ),
    Provider(
        "together_ai",
        _CHAT,
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY TOGETHERAI_API_KEY TOGETHER_AI_TOKEN",
    ),
    Provider(
        "fireworks_ai",
        _CHAT,
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY FIREWORKS_AI_API_KEY",
        # "Extra inputs are not permitted" for any other field of a message.
        quirks=Quirks(takes_back=_REASONING_CONTENT, fields=_FIELDS),
    ),
    Provider(
        "perplexity",
        "openai_responses",
        "https://api.perplexity.ai/v1",
        "PERPLEXITY_API_KEY PERPLEXITYAI_API_KEY",
        # It passes requests on to the models of several makers.
        quirks=Quirks(router=True),
        note="the Agent API, which replaced Sonar's chat completions on 2026-09-27; a model is"
        " MAKER/MODEL, as in perplexity/perplexity/sonar",
    ),
    Provider("cerebras", _CHAT, "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    Provider(
        "moonshot",
        _CHAT,
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        quirks=Quirks(takes_back=_REASONING_CONTENT),
    ),
    Provider(
        "zai",
        _CHAT,
        "https://api.z.ai/api/paas/v4",
        "ZAI_API_KEY",
        # It ignores max_completion_tokens, and always sends usage.
        quirks=Quirks(None, _MAX_TOKENS_ONLY, takes_back=_REASONING_CONTENT),
    ),
    Provider(
        "hosted_vllm",
        _CHAT,
        "http://127.0.0.1:8000/v1",
        "HOSTED_VLLM_API_KEY VLLM_API_KEY",
        key_optional=True,
        quirks=Quirks(
            # It says `reasoning`, and since January 2026 it reads nothing else:
            # https://github.com/vllm-project/vllm/issues/33402
            takes_back={"reasoning_content": "reasoning"},
            prefill=Prefill(body={"continue_final_message": True, "add_generation_prompt": False}),
        ),
    ),
    Provider(
        "llamacpp",
        _CHAT,
        "http://127.0.0.1:8080/v1",
        "LLAMACPP_API_KEY",
        key_optional=True,
        quirks=Quirks(takes_back=_REASONING_CONTENT),
    ),
    Provider(
        "lm_studio", _CHAT, "http://127.0.0.1:1234/v1", "LM_STUDIO_API_KEY", key_optional=True
    ),
    Provider(
        "ollama",
        "ollama",
        "http://127.0.0.1:11434",
        "OLLAMA_API_KEY",
        key_optional=True,
        url_env="OLLAMA_HOST",
        resolver="ritellm.providers.ollama:resolve",
    ),
    Provider(
        "huggingface",
        _CHAT,
        "https://router.huggingface.co/v1",
        "HF_TOKEN HUGGINGFACE_API_KEY",
    ),
    Provider(
        "nvidia_nim",
        _CHAT,
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_NIM_API_KEY NVIDIA_API_KEY",
    ),
    Provider(
        "github",
        _CHAT,
        "https://models.github.ai/inference",
        "GITHUB_API_KEY GITHUB_TOKEN",
        quirks=Quirks(developer=True),
        note="GitHub closed this service on 2026-07-30",
    ),
    Provider(
        "databricks",
        _CHAT,
        "https://{databricks_host}/serving-endpoints",
        "DATABRICKS_TOKEN DATABRICKS_API_KEY",
        options={"databricks_host": "DATABRICKS_HOST"},
        # 400 `json: unknown field "stream_options"` for models that run elsewhere.
        quirks=Quirks(None),
    ),
    Provider(
        "snowflake",
        _CHAT,
        "https://{snowflake_account}.snowflakecomputing.com/api/v2/cortex/v1",
        "SNOWFLAKE_TOKEN SNOWFLAKE_PAT SNOWFLAKE_JWT",
        options={"snowflake_account": "SNOWFLAKE_ACCOUNT SNOWFLAKE_ACCOUNT_ID"},
        quirks=Quirks(
            renames={"*": {"max_tokens": "max_completion_tokens"}},
            takes_back=_REASONING_DETAILS,
        ),
    ),
    Provider(
        "local",
        _CHAT,
        launcher="ritellm.local:acquire",
        quirks=Quirks(takes_back=_REASONING_CONTENT),
        note="runs on this machine; the extra [local] brings llama.cpp and Gemma 3 270M",
    ),
)

PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}
