"""The address and the key of each provider, and the errors where one is missing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import httpx
import orjson
import pytest

from ritellm import AsyncClient, Client
from ritellm import wire as wires
from ritellm.__main__ import main
from ritellm.calls.prepare import plan
from ritellm.cli.providers import as_markdown, as_text
from ritellm.endpoints import Provider
from ritellm.errors import (
    APIConnectionError,
    AuthenticationError,
    InvalidRequestError,
    UnknownProviderError,
    UnsupportedParamsError,
)
from ritellm.providers import OPTIONS, PROVIDERS, aws_botocore, locate, split_model
from ritellm.providers import google as google_provider
from ritellm.providers.aws import new_signer
from ritellm.providers.aws_sigv4 import AwsCredentials
from ritellm.types import HttpRequest, Request
from ritellm.wire.capabilities import CAPABILITIES

ROOT = Path(__file__).parents[3]
HI = [{"role": "user", "content": "hi"}]
AZURE = "https://res.openai.azure.com"
AWS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_REGION": "eu-west-1"}
NO_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"}


@pytest.fixture(autouse=True)
def _without_botocore(monkeypatch):
    """Tests do not depend on whether botocore is installed here."""
    monkeypatch.setitem(sys.modules, "botocore", None)


def asked(model, environ=None, *, stream=True, messages=HI, **arguments):
    """Return the request that `completion(model, ...)` would send."""
    planned = plan(model, messages, environ or {}, stream=stream, **arguments)
    endpoint = locate(planned.endpoint, planned.request.model)
    request = wires.load(endpoint.wire).build_request(planned.request, endpoint)
    return endpoint.signer(request) if endpoint.signer else request


def body(request):
    return orjson.loads(request.content)


BEARER = ("authorization", "Bearer k")
# model, environment, address, header with the key
ADDRESSES = [
    (
        "openai/gpt-4o",
        {"OPENAI_API_KEY": "k"},
        "https://api.openai.com/v1/chat/completions",
        BEARER,
    ),
    (
        "openai/responses/gpt-5",
        {"OPENAI_API_KEY": "k"},
        "https://api.openai.com/v1/responses",
        BEARER,
    ),
    (
        "azure/my-dep",
        {"AZURE_API_KEY": "k", "AZURE_API_BASE": AZURE},
        f"{AZURE}/openai/v1/chat/completions",
        ("api-key", "k"),
    ),
    (
        "azure/responses/my-dep",
        {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": f"{AZURE}/"},
        f"{AZURE}/openai/v1/responses",
        ("api-key", "k"),
    ),
    (
        "anthropic/claude-sonnet-4-5",
        {"ANTHROPIC_API_KEY": "k"},
        "https://api.anthropic.com/v1/messages",
        ("x-api-key", "k"),
    ),
    (
        "gemini/gemini-2.5-flash",
        {"GEMINI_API_KEY": "k"},
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
        ":streamGenerateContent?alt=sse",
        ("x-goog-api-key", "k"),
    ),
    (
        "gemini/gemini-2.5-flash",
        {"GOOGLE_API_KEY": "k"},
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
        ":streamGenerateContent?alt=sse",
        ("x-goog-api-key", "k"),
    ),
    (
        "vertex_ai/gemini-2.5-pro",
        {
            "GOOGLE_OAUTH_ACCESS_TOKEN": "k",
            "VERTEXAI_PROJECT": "p",
            "VERTEXAI_LOCATION": "europe-west1",
        },
        "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1"
        "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        BEARER,
    ),
    (
        "vertex_ai/claude-sonnet-4-5@20250929",
        {"CLOUDSDK_AUTH_ACCESS_TOKEN": "k", "GOOGLE_CLOUD_PROJECT": "p"},
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
        "/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        BEARER,
    ),
    (
        "vertex_ai/openapi/meta/llama-3.3-70b-instruct-maas",
        {"GOOGLE_OAUTH_ACCESS_TOKEN": "k", "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "us"},
        "https://aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us"
        "/endpoints/openapi/chat/completions",
        BEARER,
    ),
    (
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "us-east-1", **NO_FILES},
        "https://bedrock-runtime.us-east-1.amazonaws.com/model"
        "/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
        BEARER,
    ),
    (
        "bedrock/converse/amazon.nova-lite-v1:0",
        {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_DEFAULT_REGION": "us-west-2", **NO_FILES},
        "https://bedrock-runtime.us-west-2.amazonaws.com/model"
        "/amazon.nova-lite-v1%3A0/converse-stream",
        BEARER,
    ),
    (
        "mistral/mistral-large-latest",
        {"MISTRAL_API_KEY": "k"},
        "https://api.mistral.ai/v1/chat/completions",
        BEARER,
    ),
    ("cohere/command-a", {"CO_API_KEY": "k"}, "https://api.cohere.com/v2/chat", BEARER),
    (
        "groq/llama-3.3-70b-versatile",
        {"GROQ_API_KEY": "k"},
        "https://api.groq.com/openai/v1/chat/completions",
        BEARER,
    ),
    (
        "deepseek/deepseek-chat",
        {"DEEPSEEK_API_KEY": "k"},
        "https://api.deepseek.com/chat/completions",
        BEARER,
    ),
    ("xai/grok-4", {"XAI_API_KEY": "k"}, "https://api.x.ai/v1/chat/completions", BEARER),
    (
        "openrouter/anthropic/claude-sonnet-4.5",
        {"OPENROUTER_API_KEY": "k"},
        "https://openrouter.ai/api/v1/chat/completions",
        BEARER,
    ),
    (
        "together_ai/openai/gpt-oss-20b",
        {"TOGETHERAI_API_KEY": "k"},
        "https://api.together.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "fireworks_ai/accounts/fireworks/models/glm-4p6",
        {"FIREWORKS_API_KEY": "k"},
        "https://api.fireworks.ai/inference/v1/chat/completions",
        BEARER,
    ),
    (
        "perplexity/perplexity/sonar",
        {"PERPLEXITYAI_API_KEY": "k"},
        "https://api.perplexity.ai/v1/responses",
        BEARER,
    ),
    (
        "cerebras/gpt-oss-120b",
        {"CEREBRAS_API_KEY": "k"},
        "https://api.cerebras.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "moonshot/kimi-k2.6",
        {"MOONSHOT_API_KEY": "k"},
        "https://api.moonshot.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "zai/glm-5",
        {"ZAI_API_KEY": "k"},
        "https://api.z.ai/api/paas/v4/chat/completions",
        BEARER,
    ),
    ("hosted_vllm/Qwen/Qwen3-8B", {}, "http://127.0.0.1:8000/v1/chat/completions", None),
    (
        "hosted_vllm/Qwen/Qwen3-8B",
        {"HOSTED_VLLM_API_KEY": "k", "HOSTED_VLLM_API_BASE": "https://gpu.example/v1"},
        "https://gpu.example/v1/chat/completions",
        BEARER,
    ),
    ("llamacpp/any", {}, "http://127.0.0.1:8080/v1/chat/completions", None),
    ("lm_studio/any", {}, "http://127.0.0.1:1234/v1/chat/completions", None),
    ("ollama/llama3.2:1b", {}, "http://127.0.0.1:11434/api/chat", None),
    ("ollama_chat/llama3.2:1b", {"OLLAMA_API_KEY": "k"}, "http://127.0.0.1:11434/api/chat", BEARER),
    (
        "huggingface/meta-llama/Llama-3.3-70B-Instruct",
        {"HF_TOKEN": "k"},
        "https://router.huggingface.co/v1/chat/completions",
        BEARER,
    ),
    (
        "nvidia_nim/meta/llama-3.3-70b-instruct",
        {"NVIDIA_API_KEY": "k"},
        "https://integrate.api.nvidia.com/v1/chat/completions",
        BEARER,
    ),
    (
        "github/openai/gpt-4.1",
        {"GITHUB_TOKEN": "k"},
        "https://models.github.ai/inference/chat/completions",
        BEARER,
    ),
    (
        "databricks/databricks-claude-sonnet-4-5",
        {"DATABRICKS_TOKEN": "k", "DATABRICKS_HOST": "https://dbc-1.cloud.databricks.com/"},
        "https://dbc-1.cloud.databricks.com/serving-endpoints/chat/completions",
        BEARER,
    ),
    (
        "snowflake/claude-sonnet-4-5",
        {"SNOWFLAKE_PAT": "k", "SNOWFLAKE_ACCOUNT": "org-acct"},
        "https://org-acct.snowflakecomputing.com/api/v2/cortex/v1/chat/completions",
        BEARER,
    ),
]


@pytest.mark.parametrize(
    ("model", "environ", "url", "key"), ADDRESSES, ids=[f"{row[0]}" for row in ADDRESSES]
)
def test_a_request_goes_to_the_providers_address_with_its_key(model, environ, url, key):
    request = asked(model, environ)
    assert request.url == url
    keys = {"authorization", "api-key", "x-api-key", "x-goog-api-key"}
    assert {name: request.headers[name] for name in keys & request.headers.keys()} == dict(
        [key] if key else []
    )


def test_every_provider_is_in_the_table_of_addresses():
    seen = {split_model(row[0])[0].name for row in ADDRESSES}
    assert seen == PROVIDERS.keys() - {"local"}


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("openrouter/anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        ("huggingface/meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("openai/responses/gpt-5", "gpt-5"),
        ("openai/ft:gpt-4o:org::id", "ft:gpt-4o:org::id"),
        ("azure/responses/dep", "dep"),
        ("vertex_ai/openapi/meta/llama-3", "meta/llama-3"),
        ("vertex_ai/claude-opus-4-1", "claude-opus-4-1"),
        ("bedrock/converse/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
    ],
)
def test_everything_after_the_first_slash_is_the_models_name(model, sent):
    arguments = {"api_key": "k", "base_url": "https://x/v1"}
    assert plan(model, HI, {}, **arguments).request.model == sent


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_address_argument_overrides_all_others(name):
    environ = {f"{name.upper()}_BASE_URL": "https://environ/v1", **NO_FILES}
    given = plan(f"{name}/m", HI, environ, base_url="https://given/v1", api_key="k").endpoint
    assert given.base_url == "https://given/v1"
    assert plan(f"{name}/m", HI, environ, api_base="https://old/v1", api_key="k").endpoint.base_url


def test_an_address_in_the_environment_overrides_the_providers_own():
    for variable in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        environ = {variable: "https://proxy/v1", "OPENAI_API_KEY": "k"}
        assert asked("openai/gpt-4o", environ).url == "https://proxy/v1/chat/completions"


def test_a_key_argument_overrides_the_environment():
    request = asked("openai/gpt-4o", {"OPENAI_API_KEY": "environ"}, api_key="given")
    assert request.headers["authorization"] == "Bearer given"


def test_the_first_variable_that_is_set_counts_and_an_empty_one_is_not_set():
    both = {"GEMINI_API_KEY": "first", "GOOGLE_API_KEY": "second"}
    assert asked("gemini/m", both).headers["x-goog-api-key"] == "first"
    both["GEMINI_API_KEY"] = ""
    assert asked("gemini/m", both).headers["x-goog-api-key"] == "second"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("openai/gpt-4o", "OPENAI_API_KEY"),
        ("gemini/gemini-2.5-flash", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("together_ai/m", "TOGETHER_API_KEY or TOGETHERAI_API_KEY"),
        ("bedrock/m", "AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("azure/m", "AZURE_API_KEY or AZURE_OPENAI_API_KEY"),
    ],
)
def test_a_missing_key_is_an_error_that_names_its_variable(model, words):
    environ = {"AZURE_API_BASE": AZURE, "AWS_REGION": "us-east-1", **NO_FILES}
    with pytest.raises(AuthenticationError) as caught:
        plan(model, HI, environ)
    assert words in caught.value.message
    assert "api_key" in caught.value.message


def test_a_server_at_the_callers_own_address_may_need_no_key():
    assert "authorization" not in asked("openai/m", base_url="http://127.0.0.1:9/v1").headers


@pytest.mark.parametrize(
    ("model", "environ", "words"),
    [
        ("azure/dep", {"AZURE_API_KEY": "k"}, "AZURE_API_BASE or AZURE_OPENAI_ENDPOINT"),
        ("databricks/m", {"DATABRICKS_TOKEN": "k"}, "databricks_host: pass it, or set DATABRICKS"),
        ("snowflake/m", {"SNOWFLAKE_PAT": "k"}, "snowflake_account"),
        ("bedrock/m", {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "aws_region_name"),
        ("vertex_ai/m", {"GOOGLE_OAUTH_ACCESS_TOKEN": "k"}, "VERTEXAI_PROJECT"),
        ("openai/m", {"OPENAI_BASE_URL": "localhost:8000", "OPENAI_API_KEY": "k"}, "http://"),
    ],
)
def test_a_missing_or_broken_address_is_an_error_that_says_what_to_set(model, environ, words):
    with pytest.raises(InvalidRequestError) as caught:
        plan(model, HI, {**environ, **NO_FILES})
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("ft:gpt-4o-mini:org::1", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "gemini"),
        ("command-a-03-2025", "cohere"),
        ("mistral-large-latest", "mistral"),
        ("codestral-latest", "mistral"),
        ("magistral-medium-latest", "mistral"),
        ("open-mixtral-8x22b", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "xai"),
        ("kimi-k2.6", "moonshot"),
        ("glm-5", "zai"),
    ],
)
def test_an_unmistakable_name_needs_no_provider(model, provider):
    assert split_model(model) == (PROVIDERS[provider], model)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("llama-3.3-70b", "write PROVIDER/llama-3.3-70b"),
        ("gpt-oss-120b", "write PROVIDER/gpt-oss-120b"),
        ("deepseek-r1:8b", "write PROVIDER/deepseek-r1:8b"),
        ("o", "write PROVIDER/o"),
        ("opnai/gpt-4o", "did you mean openai/gpt-4o?"),
        ("google/gemini-2.5-flash", "did you mean gemini/gemini-2.5-flash?"),
        ("together/m", "did you mean together_ai/m?"),
        ("vllm/Qwen/Qwen3-8B", "did you mean hosted_vllm/Qwen/Qwen3-8B?"),
        ("meta-llama/Llama-3", "openrouter/meta-llama/Llama-3"),
        ("openai/", "write openai/MODEL"),
        ("openai", "write openai/MODEL"),
    ],
)
def test_an_unknown_provider_is_an_error_that_suggests_one(model, words):
    with pytest.raises(UnknownProviderError) as caught:
        split_model(model)
    assert words in caught.value.message


@pytest.mark.parametrize("model", [None, 7, "", "  "])
def test_an_invalid_model_name_is_an_error(model):
    with pytest.raises(InvalidRequestError, match="must be a name"):
        split_model(model)


def launch(model):
    """Start nothing; the rows of providers that run on this machine name such a function."""
    return SimpleNamespace(base_url=f"http://127.0.0.1:9/{model}/v1", api_key="of this run")


def test_a_provider_on_this_machine_starts_with_its_first_request():
    endpoint = plan("local/gemma-3-270m", HI, {"LOCAL_BASE_URL": "http://not-meant"}).endpoint
    assert endpoint.base_url == ""
    here = Provider("here", "openai_chat", launcher=f"{__name__}:launch")
    opened = locate(replace(endpoint, provider=here), "m")
    assert (opened.base_url, opened.key) == ("http://127.0.0.1:9/m/v1", "of this run")
    assert locate(opened, "m") is opened


# Azure: both ways, and each form of an address
@pytest.mark.parametrize(
    ("base_url", "version", "path"),
    [
        (AZURE, None, "/openai/v1/chat/completions"),
        (f"{AZURE}/", "v1", "/openai/v1/chat/completions"),
        (AZURE, "preview", "/openai/v1/chat/completions?api-version=preview"),
        (f"{AZURE}/openai", None, "/openai/v1/chat/completions"),
        (f"{AZURE}/openai/v1/", None, "/openai/v1/chat/completions"),
        (f"{AZURE}/openai/v1", "2024-10-21", "/openai/v1/chat/completions"),
        (f"{AZURE}/openai/v1/chat/completions", None, "/openai/v1/chat/completions"),
        (
            AZURE,
            "2024-10-21",
            "/openai/deployments/my%2Fdep/chat/completions?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/openai/",
            "2024-10-21",
            "/openai/deployments/my%2Fdep/chat/completions?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/openai/deployments/other",
            "2024-10-21",
            "/openai/deployments/other/chat/completions?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/openai/deployments/other/chat/completions?api-version=2025-01-01-preview",
            "2024-10-21",
            "/openai/deployments/other/chat/completions?api-version=2025-01-01-preview",
        ),
    ],
)
def test_azure_uses_the_new_address_unless_the_api_version_is_dated(base_url, version, path):
    for given, environ in (({"api_version": version}, {}), ({}, {"AZURE_API_VERSION": version})):
        environ = {name: value for name, value in environ.items() if value}
        request = asked("azure/my/dep", environ, base_url=base_url, api_key="k", **given)
        assert request.url == AZURE + path
        assert body(request)["model"] == "my/dep"


def test_azures_responses_use_the_old_address_with_a_dated_version():
    request = asked(
        "azure/responses/dep", base_url=AZURE, api_key="k", api_version="2025-04-01-preview"
    )
    assert request.url == f"{AZURE}/openai/responses?api-version=2025-04-01-preview"


def test_azure_takes_a_token_of_entra():
    environ = {"AZURE_API_BASE": AZURE, "AZURE_AD_TOKEN": "e"}
    assert asked("azure/dep", environ).headers["authorization"] == "Bearer e"
    assert "api-key" not in asked("azure/dep", environ).headers
    environ["AZURE_API_KEY"] = "k"
    assert asked("azure/dep", environ).headers["api-key"] == "k"
    given = asked("azure/dep", environ, azure_ad_token="given")
    assert given.headers["authorization"] == "Bearer given"
    assert "api-key" not in given.headers
    assert asked("azure/dep", environ, azure_ad_token="e", api_key="x").headers["api-key"] == "x"


def test_azure_requires_a_key():
    with pytest.raises(AuthenticationError, match="AZURE_API_KEY"):
        asked("azure/dep", base_url=AZURE)
    with pytest.raises(InvalidRequestError, match="azure_ad_token must be text"):
        asked("azure/dep", base_url=AZURE, azure_ad_token=object())
    keyless = replace(plan("azure/dep", HI, {}, base_url=AZURE, api_key="k").endpoint, key=None)
    request = wires.load("azure_chat").build_request(Request("dep", HI), keyless)
    assert not {"api-key", "authorization"} & request.headers.keys()


def test_a_callers_header_replaces_azures_key():
    request = asked("azure/dep", base_url=AZURE, api_key="k", extra_headers={"API-Key": "mine"})
    assert request.headers["api-key"] == "mine"


def test_a_request_to_an_old_version_of_azures_api_has_no_stream_options():
    arguments = {"base_url": AZURE, "api_key": "k"}
    old = asked("azure/dep", api_version="2024-02-01", **arguments)
    new = asked("azure/dep", api_version="2024-10-21", **arguments)
    assert "stream_options" not in body(old)
    assert body(new)["stream_options"] == {"include_usage": True}


# Bedrock
def test_bedrock_signs_with_aws_credentials_and_with_a_clock():
    credentials = AwsCredentials("AKID", "secret")
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
    request = asked("bedrock/m", base_url="https://b.example", api_key="k")
    unsigned = replace(
        request, headers={k: v for k, v in request.headers.items() if k != "authorization"}
    )
    signer = new_signer(credentials, "eu-west-1", lambda: noon)
    signed = signer(unsigned).headers
    assert signed == signer(unsigned).headers
    assert signed["x-amz-date"] == "20261122T120000Z"
    scope = "AKID/20261122/eu-west-1/bedrock/aws4_request"
    assert signed["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={scope}, ")
    later = new_signer(credentials, "eu-west-1", lambda: noon.replace(hour=13))
    assert later(unsigned).headers["authorization"] != signed["authorization"]


def test_bedrock_finds_credentials_in_the_environment():
    request = asked("bedrock/m", {**AWS, "AWS_SESSION_TOKEN": "session", **NO_FILES})
    assert request.url.startswith("https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/")
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert request.headers["x-amz-security-token"] == "session"


def test_bedrocks_bearer_key_comes_before_credentials_and_arguments_before_both():
    environ = {**AWS, "AWS_BEARER_TOKEN_BEDROCK": "k", **NO_FILES}
    assert asked("bedrock/m", environ).headers["authorization"] == "Bearer k"
    given = {"aws_access_key_id": "MINE", "aws_secret_access_key": "s"}
    request = asked("bedrock/m", {**environ, "AWS_SESSION_TOKEN": "not-mine"}, **given)
    assert "Credential=MINE/" in request.headers["authorization"]
    assert "x-amz-security-token" not in request.headers
    assert asked("bedrock/m", environ, api_key="x").headers["authorization"] == "Bearer x"


def test_bedrock_reads_awss_shared_files(tmp_path):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = %s%%\n"
        "[work]\naws_access_key_id = WORK\naws_secret_access_key = s\naws_session_token = t\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = r-1\n[profile work]\nregion = r-2\n")
    environ = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }
    request = asked("bedrock/m", environ)
    assert "Credential=DEFAULT/" in request.headers["authorization"]
    assert "bedrock-runtime.r-1." in request.url
    for work in ({"AWS_PROFILE": "work"}, {}):
        given = {} if work else {"aws_profile_name": "work"}
        request = asked("bedrock/m", {**environ, **work}, **given)
        assert "Credential=WORK/" in request.headers["authorization"]
        assert request.headers["x-amz-security-token"] == "t"
        assert "bedrock-runtime.r-2." in request.url
    with pytest.raises(InvalidRequestError, match=r"no keys under \[play\]"):
        asked("bedrock/m", environ, aws_profile_name="play", aws_region_name="r-3")


def test_a_broken_credentials_file_is_an_error_that_names_it(tmp_path):
    broken = tmp_path / "credentials"
    broken.write_text("no section\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(broken), "AWS_REGION": "r"}
    with pytest.raises(InvalidRequestError, match=r"cannot read .*credentials"):
        asked("bedrock/m", environ)


def test_bedrock_says_what_is_missing():
    with pytest.raises(InvalidRequestError, match="belong together"):
        asked("bedrock/m", AWS, aws_access_key_id="only")
    keys = {**AWS, "AWS_REGION": "", **NO_FILES}
    for own_address in ({}, {"base_url": "https://vpce.example"}):
        with pytest.raises(InvalidRequestError, match=r"needs aws_region_name.* or AWS_REGION or"):
            asked("bedrock/m", keys, **own_address)


def test_no_message_shows_an_aws_secret():
    endpoint = plan("bedrock/m", HI, {**AWS, "AWS_SESSION_TOKEN": "s3ss10n", **NO_FILES}).endpoint
    said = endpoint.scrub("InvalidSignature: AKID hush-hush s3ss10n")
    assert said == "InvalidSignature: [key] [key] [key]"
    assert "hush" not in repr(endpoint)


class Botocore:
    """botocore as far as it is used: one session, whose credentials the test renews."""

    def __init__(self, monkeypatch, key="ROLE"):
        self.key, self.sessions, self.trouble = key, [], None
        package = ModuleType("botocore")
        package.__spec__ = ModuleSpec("botocore", None)
        session, self.exceptions = ModuleType("botocore.session"), ModuleType("botocore.exceptions")
        self.exceptions.BotoCoreError = type("BotoCoreError", (Exception,), {})
        self.exceptions.ClientError = type("ClientError", (Exception,), {})
        self.exceptions.HTTPClientError = type(
            "HTTPClientError", (self.exceptions.BotoCoreError,), {}
        )
        session.Session = self.session
        modules = {"": package, ".session": session, ".exceptions": self.exceptions}
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, f"botocore{name}", module)
        monkeypatch.setattr(aws_botocore, "_found", {})

    def session(self, profile):
        settings = {"profile": profile}
        self.sessions.append(settings)
        found = SimpleNamespace(get_frozen_credentials=self.frozen) if self.key else None
        return SimpleNamespace(
            set_config_variable=settings.__setitem__, get_credentials=lambda: found
        )

    def frozen(self):
        if self.trouble:
            raise self.trouble
        return SimpleNamespace(access_key=self.key, secret_key="s3cr3t-key", token="t0k3n-of-role")


def test_bedrock_signs_with_the_credentials_that_botocore_has_now(monkeypatch):
    botocore = Botocore(monkeypatch)
    endpoint = plan("bedrock/m", HI, {"AWS_REGION": "r-1", "AWS_PROFILE": "work"}).endpoint
    assert endpoint.base_url == "https://bedrock-runtime.r-1.amazonaws.com"
    assert botocore.sessions == []  # finding credentials is I/O
    unsigned = HttpRequest(endpoint.base_url, {}, b"")
    for key in ("FIRST", "RENEWED"):
        botocore.key = key
        opened = locate(endpoint, "m")
        headers = opened.signer(unsigned).headers
        assert f"Credential={key}/" in headers["authorization"]
        assert headers["x-amz-security-token"] == "t0k3n-of-role"
        assert opened.scrub("s3cr3t-key, t0k3n-of-role") == "[key], [key]"
    assert botocore.sessions == [{"profile": "work"}]


def test_keys_and_bearer_tokens_need_no_botocore(monkeypatch):
    botocore = Botocore(monkeypatch)
    assert "Credential=AKID/" in asked("bedrock/m", AWS).headers["authorization"]
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "r-1"}
    assert asked("bedrock/m", environ).headers["authorization"] == "Bearer k"
    assert botocore.sessions == []


def test_a_named_profile_counts_before_the_keys_in_the_environment(monkeypatch):
    botocore = Botocore(monkeypatch)
    environ = {**AWS, **NO_FILES, "AWS_BEARER_TOKEN_BEDROCK": "k"}
    request = asked("bedrock/m", environ, aws_profile_name="work")
    assert "Credential=ROLE/" in request.headers["authorization"]
    files = {"credentials_file": "/nowhere", "config_file": "/nowhere"}
    assert botocore.sessions == [{"profile": "work", **files}]


def test_botocores_failures_become_this_librarys_errors(monkeypatch):
    botocore = Botocore(monkeypatch, key=None)
    with pytest.raises(AuthenticationError, match="set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS"):
        asked("bedrock/m", {"AWS_REGION": "r-1"})
    botocore.key = "ROLE"  # the user has logged in meanwhile
    exceptions = botocore.exceptions
    for trouble, error in (
        (exceptions.BotoCoreError("the SSO session has expired"), AuthenticationError),
        (exceptions.ClientError("AccessDenied"), AuthenticationError),
        (exceptions.HTTPClientError("no route"), APIConnectionError),
    ):
        botocore.trouble = trouble
        with pytest.raises(error, match=f"AWS credentials: {trouble}"):
            asked("bedrock/m", {"AWS_REGION": "r-1"})
    with pytest.raises(InvalidRequestError, match="needs aws_region_name"):
        asked("bedrock/m", NO_FILES, base_url="https://vpce.example")


# Vertex AI
class GoogleAuth:
    """google-auth as far as it is used, without a network."""

    def __init__(self, monkeypatch, project="own-project"):
        self.loaded = []
        self.credentials = FakeCredentials()
        auth = ModuleType("google.auth")
        exceptions = ModuleType("google.auth.exceptions")
        requests = ModuleType("google.auth.transport.requests")
        exceptions.GoogleAuthError = type("GoogleAuthError", (Exception,), {})
        exceptions.TransportError = type("TransportError", (exceptions.GoogleAuthError,), {})
        requests.Request = SimpleNamespace
        auth.exceptions = self.exceptions = exceptions

        def found(*source, scopes):
            self.loaded.append(*source or (None,))
            assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]
            return self.credentials, project

        auth.default = auth.load_credentials_from_file = auth.load_credentials_from_dict = found
        for name, module in {
            "google.auth": auth,
            "google.auth.exceptions": exceptions,
            "google.auth.transport.requests": requests,
        }.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(google_provider, "_loaded", {})


class FakeCredentials:
    """Credentials whose token expires when the test says so."""

    def __init__(self):
        self.valid = False
        self.token = "t0"
        self.refreshed = 0
        self.trouble = None

    def refresh(self, request):
        if self.trouble:
            raise self.trouble
        self.refreshed += 1
        self.token, self.valid = f"t{self.refreshed}", True


def test_vertex_asks_google_auth_for_a_token_when_the_last_one_has_expired(monkeypatch):
    google = GoogleAuth(monkeypatch)
    endpoint = plan("vertex_ai/gemini-2.5-pro", HI, {}).endpoint
    assert google.loaded == []  # nothing has been asked for yet: that is I/O
    opened = [locate(endpoint, "m"), locate(endpoint, "m")]
    assert [each.key for each in opened] == ["t1", "t1"]
    assert opened[0].base_url == (
        "https://aiplatform.googleapis.com/v1/projects/own-project/locations/global"
    )
    google.credentials.valid = False
    assert locate(endpoint, "m").key == "t2"
    assert google.loaded == [None]


def test_both_faces_fetch_the_token_before_sending(monkeypatch):
    google = GoogleAuth(monkeypatch)
    seen = []

    def answer(request):
        seen.append((request.url.host, request.headers["authorization"]))
        part = {"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}
        return httpx.Response(200, json={"candidates": [part]})

    transport = httpx.MockTransport(answer)
    with Client(transport=transport) as client:
        assert client.completion("vertex_ai/gemini-2.5-pro", HI).choices[0].message.content == "yes"

    async def ask():
        google.credentials.valid = False
        async with AsyncClient(transport=transport) as client:
            return await client.completion("vertex_ai/gemini-2.5-pro", HI)

    assert asyncio.run(ask()).choices[0].message.content == "yes"
    host = "aiplatform.googleapis.com"
    assert seen == [(host, "Bearer t1"), (host, "Bearer t2")]


def test_vertex_takes_credentials_in_many_shapes(monkeypatch, tmp_path):
    google = GoogleAuth(monkeypatch, project=None)
    account = {"type": "service_account", "project_id": "p"}
    shapes = [str(tmp_path / "key.json"), '{"type": "service_account"}', account]
    for credentials in shapes:
        arguments = {"vertex_credentials": credentials, "vertex_project": "p"}
        request = asked("vertex_ai/gemini-2.5-pro", **arguments)
        assert "/projects/p/locations/global/" in request.url
        assert request.headers["authorization"] == "Bearer t1"
    assert google.loaded == [shapes[0], {"type": "service_account"}, account]


def test_vertex_takes_a_credentials_object(monkeypatch):
    GoogleAuth(monkeypatch)
    credentials = FakeCredentials()
    environ = {"GOOGLE_OAUTH_ACCESS_TOKEN": "environ", "GOOGLE_CLOUD_PROJECT": "p"}
    request = asked("vertex_ai/gemini-2.5-pro", environ, vertex_credentials=credentials)
    assert request.headers["authorization"] == "Bearer t1"
    credentials.valid, credentials.token = True, "still good"
    request = asked("vertex_ai/claude-opus-4-1", environ, vertex_credentials=credentials)
    assert request.headers["authorization"] == "Bearer still good"


def test_a_token_argument_needs_no_google_auth():
    arguments = {"vertex_project": "p", "vertex_location": "us-east5", "api_key": "given"}
    request = asked("vertex_ai/gemini-2.5-pro", **arguments)
    assert request.headers["authorization"] == "Bearer given"
    assert request.url.startswith("https://us-east5-aiplatform.googleapis.com/v1/projects/p/")


def test_without_google_auth_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    monkeypatch.setattr(google_provider, "_loaded", {})
    endpoint = plan("vertex_ai/gemini-2.5-pro", HI, {"VERTEXAI_PROJECT": "p"}).endpoint
    with pytest.raises(InvalidRequestError, match=r"pip install 'google-auth\[requests\]'"):
        locate(endpoint, "m")


def test_googles_failures_become_this_librarys_errors(monkeypatch):
    google = GoogleAuth(monkeypatch)
    endpoint = plan("vertex_ai/m", HI, {}).endpoint
    google.credentials.trouble = google.exceptions.GoogleAuthError("expired")
    with pytest.raises(AuthenticationError, match="gcloud auth application-default login"):
        locate(endpoint, "m")
    google.credentials.trouble = google.exceptions.TransportError("no route")
    with pytest.raises(APIConnectionError, match="no route") as caught:
        locate(endpoint, "m")
    assert caught.value.retryable


@pytest.mark.parametrize(
    "source",
    ["ya29.planted", {"type": "service_account", "private_key": "planted-key"}],
    ids=["a token", "a key"],
)
def test_an_error_about_credentials_does_not_repeat_them(source, monkeypatch):
    google = GoogleAuth(monkeypatch)

    def refused(given, scopes):
        raise google.exceptions.GoogleAuthError(f"File {given} was not found.")

    auth = sys.modules["google.auth"]
    auth.load_credentials_from_file = auth.load_credentials_from_dict = refused
    endpoint = plan("vertex_ai/m", HI, {}, vertex_credentials=source).endpoint
    with pytest.raises(AuthenticationError, match="no Google credentials: File") as caught:
        locate(endpoint, "m")
    assert "planted" not in repr(caught.value)


def test_credentials_that_cannot_be_read_are_an_error(monkeypatch):
    GoogleAuth(monkeypatch)
    endpoint = plan("vertex_ai/m", HI, {}, vertex_credentials="{broken").endpoint
    with pytest.raises(AuthenticationError, match="no Google credentials"):
        locate(endpoint, "m")


# Ollama's own variable
@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("gpu-box", "http://gpu-box:11434"),
        ("https://ollama.com", "https://ollama.com"),
    ],
)
def test_ollamas_own_variable_may_lack_a_scheme(host, root):
    assert asked("ollama/m", {"OLLAMA_HOST": host}).url == f"{root}/api/chat"
    both = {"OLLAMA_HOST": host, "OLLAMA_API_BASE": "http://base:1"}
    assert asked("ollama/m", both).url == "http://base:1/api/chat"


# Quirks
@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("openai/gpt-4o", {"max_tokens": 9}, {"max_tokens": 9}),
        ("openai/o3-mini", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ("openai/gpt-5-nano", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        (
            "openai/gpt-5",
            {"max_tokens": 9, "max_completion_tokens": 5},
            {"max_completion_tokens": 5},
        ),
        ("azure/gpt-5-mini", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ("mistral/m", {"max_completion_tokens": 9, "seed": 1}, {"max_tokens": 9, "random_seed": 1}),
        ("deepseek/m", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("zai/m", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("snowflake/m", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ("xai/m", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ("groq/m", {"n": 1, "logprobs": False}, {}),
    ],
)
def test_a_parameter_is_sent_under_the_servers_name(model, given, sent):
    request = asked(model, stream=False, api_key="k", base_url="https://x/v1", **given)
    said = body(request)
    assert {k: v for k, v in said.items() if k not in ("model", "messages")} == sent


def test_a_parameter_that_a_server_lacks_is_an_error_or_is_dropped():
    arguments = {"api_key": "k", "logprobs": True, "n": 2}
    with pytest.raises(UnsupportedParamsError, match="groq has no logprobs and no n"):
        asked("groq/m", **arguments)
    said = body(asked("groq/m", drop_params=True, **arguments))
    assert not {"logprobs", "n"} & said.keys()


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("openai/m", None, {"include_usage": True, "include_obfuscation": False}),
        (
            "openai/m",
            {"include_obfuscation": True},
            {"include_usage": True, "include_obfuscation": True},
        ),
        ("groq/m", None, {"include_usage": True}),
        ("groq/m", {"include_usage": False}, None),
        ("mistral/m", None, None),
        ("mistral/m", {"include_usage": True}, None),
        ("zai/m", None, None),
        ("databricks/m", None, None),
    ],
)
def test_usage_is_requested_where_the_server_accepts_the_option(model, given, sent):
    request = asked(model, api_key="k", databricks_host="h", stream_options=given)
    assert body(request).get("stream_options") == sent
    assert "stream_options" not in body(
        asked(model, api_key="k", databricks_host="h", stream=False, stream_options=given)
    )


def test_a_server_behind_another_address_gets_nothing_that_only_openai_knows():
    said = body(asked("openai/m", api_key="k", base_url="https://x/v1"))
    assert said["stream_options"] == {"include_usage": True}


ANSWER = {
    "role": "assistant",
    "content": None,
    "refusal": None,
    "reasoning_content": "hm",
    "reasoning_details": [{"type": "reasoning.text"}],
    "thinking_blocks": [{"type": "thinking"}],
    "provider_specific_fields": {"layout": []},
    "annotations": [],
    "tool_calls": [
        {
            "id": "c",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "provider_specific_fields": {"signature": "s"},
            "extra_content": {"google": {}},
        }
    ],
    "audio": {"id": "a", "data": "AAAA", "transcript": "hello"},
    "prefix": True,
}


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("openai/m", {"audio", "prefix"}),
        ("mistral/m", {"prefix"}),
        ("groq/m", set()),
        ("deepseek/m", {"audio", "prefix", "reasoning_content"}),
        ("moonshot/m", {"audio", "prefix", "reasoning_content"}),
        ("openrouter/m", {"audio", "prefix", "reasoning_details"}),
    ],
)
def test_a_completion_can_be_sent_back_to_a_server_with_a_schema(model, kept):
    before = orjson.dumps(ANSWER)
    sent = body(asked(model, api_key="k", messages=[*HI, ANSWER]))["messages"]
    assert sent[0] == HI[0]
    assert sent[1].keys() == {"role", "content", "tool_calls", *kept}
    assert sent[1].get("audio", {"id": "a"}) == {"id": "a"}
    [call] = sent[1]["tool_calls"]
    function = {"name": "f", "arguments": "{}"}
    assert call == {"id": call["id"], "type": "function", "function": function}
    assert orjson.dumps(ANSWER) == before


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let "}, {"text": "me see"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "."}]},
    {"type": "thinking", "thinking": ".."},
    {"type": "text", "text": "Yes"},
    {"type": "reference", "reference_ids": [1]},
    " and no",
    7,
]


def test_content_in_parts_becomes_text_and_reasoning_without_loss():
    chat = wires.load("openai_chat")
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": PARTS}}]}
    message = chat.decode_completion(answer).choices[0].message
    assert message == {
        "role": "assistant",
        "content": "Yes and no",
        "reasoning_content": "Let me see...",
        "content_parts": [{"type": "reference", "reference_ids": [1]}, 7],
    }
    thinking = {"choices": [{"index": 0, "delta": {"content": PARTS[:1]}}]}
    chunks = []
    chat.new_decoder(Request("m", ())).decode(("", orjson.dumps(thinking)), chunks)
    assert chunks[0].choices[0].delta == {"content": None, "reasoning_content": "Let me see"}


def test_openais_organization_and_project_are_headers():
    environ = {"OPENAI_API_KEY": "k", "OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "p"}
    headers = asked("openai/m", environ, organization="mine").headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("mine", "p")
    assert "openai-organization" not in asked("openai/m", {"OPENAI_API_KEY": "k"}).headers


# The rows themselves
def test_a_plain_provider_needs_no_more_than_four_words():
    row = Provider("new", "openai_chat", "https://api.new.example/v1", "NEW_API_KEY")
    assert row == replace(
        PROVIDERS["xai"], name="new", base_url=row.base_url, key_env="NEW_API_KEY"
    )


def test_every_dialect_in_the_table_exists_and_has_capabilities():
    names = {row.wire for row in PROVIDERS.values()}
    names |= {wire for row in PROVIDERS.values() for wire in row.routes.values()}
    assert names == CAPABILITIES.keys()
    for name in names:
        wire = wires.load(name)
        for function in ("build_request", "new_framing", "new_decoder", "decode_error"):
            assert callable(getattr(wire, function)), (name, function)


def test_every_header_and_placeholder_of_a_row_is_one_of_its_options():
    for row in PROVIDERS.values():
        assert set(row.headers.values()) <= row.options.keys(), row.name
        for part in (row.base_url or "").split("{")[1:]:
            assert part.partition("}")[0] in row.options, row.name


def test_options_of_other_providers_are_ignored():
    arguments = {"api_version": "v", "vertex_project": "p", "aws_region_name": "r"}
    assert arguments.keys() <= OPTIONS
    assert plan("groq/m", HI, {"GROQ_API_KEY": "k"}, **arguments).endpoint.options == {}


# The terminal and the documentation
def test_the_providers_are_listed_in_columns(capsys):
    assert main(["providers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == as_text().splitlines()
    head, rows = lines[0], lines[1:]
    assert head.split() == ["PROVIDER", "DIALECT", "BASE", "URL", "KEY"]
    assert [row.split()[0] for row in rows] == list(PROVIDERS)
    for column in ("DIALECT", "BASE URL", "KEY"):
        assert {row[head.index(column) - 2 : head.index(column)] for row in rows} == {"  "}
    assert "anthropic     anthropic         https://api.anthropic.com/v1" in "\n".join(rows)


def test_docs_providers_md_is_what_the_code_says():
    committed = (ROOT / "docs/providers.md").read_text(encoding="utf-8")
    assert committed == as_markdown() + "\n", (
        "run: python -m ritellm providers --markdown > docs/providers.md"
    )


@pytest.mark.parametrize("argv", [["provders"], ["providers", "--nope"]])
def test_an_unknown_command_is_one_line_and_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_help_names_the_commands():
    command = [sys.executable, "-m", "ritellm", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "providers" in done.stdout
