"""A job stores no secret: a transform refuses it, and says where the worker reads it instead."""

from __future__ import annotations

from functools import partial

import pytest

from ritellm import AsyncClient
from transforms.completions import CompletePrompts, StreamCompletions

SECRET = "planted-0123456789"
REFUSED = {
    "a key": ({"api_key": SECRET}, "api_key_env"),
    "an AWS key": ({"aws_access_key_id": SECRET}, "set AWS_ACCESS_KEY_ID on the workers"),
    "an AWS secret": ({"aws_secret_access_key": SECRET}, "set AWS_SECRET_ACCESS_KEY"),
    "an AWS session": ({"aws_session_token": SECRET}, "set AWS_SESSION_TOKEN"),
    "an Entra token": ({"azure_ad_token": SECRET}, "set AZURE_AD_TOKEN"),
    "Google's JSON": ({"vertex_credentials": f'{{"private_key": "{SECRET}"}}'}, "VERTEXAI_CRED"),
    "Google's dict": ({"vertex_credentials": {"private_key": SECRET}}, "VERTEXAI_CREDENTIALS"),
    "Google's object": ({"vertex_credentials": object()}, "VERTEXAI_CREDENTIALS"),
    "a header": ({"extra_headers": {"Authorization": SECRET}}, "pass a new_client"),
    "a gateway's header": ({"headers": {"x-gateway-token": SECRET}}, "pass a new_client"),
    "a header of any name": ({"extra_headers": {"x-up": f"Bearer {SECRET}"}}, "pass a new_client"),
    "a fallback's key": (
        {"fallbacks": ["openai/b", {"model": "groq/m", "api_key": SECRET}]},
        "the usual variable of its provider",
    ),
    "a fallback's address": (
        {"fallbacks": [{"model": "groq/m", "base_url": f"http://me:{SECRET}@host"}]},
        "set GROQ_BASE_URL",
    ),
    "a fallback's header": (
        {"fallbacks": [{"extra_headers": {"authorization": SECRET}}]},
        "pass a new_client",
    ),
    "a login": ({"base_url": f"https://me:{SECRET}@host/v1"}, "set OPENAI_BASE_URL"),
    "a token as a login": ({"api_base": f"https://{SECRET}@host/v1"}, "set OPENAI_BASE_URL"),
    "a code in the address": ({"base_url": f"https://host/v1?code={SECRET}"}, "OPENAI_BASE_URL"),
    "a field of the body": ({"extra_body": {"a": [{"api_key": SECRET}]}}, "pass a new_client"),
    "a tool's server": (
        {"tools": [{"type": "mcp", "headers": {"Authorization": SECRET}}]},
        "pass a new_client",
    ),
    "a tool's token": ({"extra_body": {"mcp": {"authorization_token": SECRET}}}, "new_client"),
    "a key as a name": ({"api_key_env": f"sk-{SECRET}"}, "do not pass the key itself"),
    "a client's key": ({"new_client": partial(AsyncClient, api_key=SECRET)}, "api_key_env"),
}


@pytest.mark.parametrize("transform", [CompletePrompts, StreamCompletions])
@pytest.mark.parametrize(("arguments", "remedy"), REFUSED.values(), ids=REFUSED)
def test_a_secret_as_an_argument_is_refused_with_its_remedy(transform, arguments, remedy):
    with pytest.raises(TypeError, match=r"the job would store|do not pass") as caught:
        transform("openai/m", **arguments)
    assert remedy in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_client_that_takes_a_key_from_around_it_is_refused():
    key, region = SECRET, "eu"
    with pytest.raises(TypeError, match="the job would store a key") as caught:
        CompletePrompts("openai/m", new_client=lambda: AsyncClient(api_key=key))
    assert SECRET not in str(caught.value)
    CompletePrompts("openai/m", new_client=lambda: AsyncClient(aws_region_name=region))


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "https://host:8443/v1?api-version=1", "max_tokens": 5},
        {"prompt_cache_key": "k", "extra_headers": {"x-team": "a"}},
        {"vertex_credentials": "/secrets/sa.json", "fallbacks": ["groq/m", {"model": "groq/n"}]},
        {
            "tools": [
                {"function": {"parameters": {"properties": {"password": {"type": "string"}}}}}
            ],
            "extra_body": {"max_new_tokens": 3, "key": 1},
        },
    ],
)
def test_an_argument_without_a_secret_is_accepted(arguments):
    StreamCompletions("openai/m", **arguments)
