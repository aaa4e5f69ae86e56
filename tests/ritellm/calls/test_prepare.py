"""What is wrong with a call is said before anything is sent, with what to change."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from ritellm.calls.params import CHAT_PARAMS
from ritellm.calls.prepare import plan
from ritellm.client import Client
from ritellm.client_async import AsyncClient
from ritellm.errors import (
    AuthenticationError,
    InvalidRequestError,
    RitellmError,
    UnknownProviderError,
    UnsupportedParamsError,
)
from ritellm.retry import RetryPolicy
from ritellm.types import Timeouts

HI = [{"role": "user", "content": "hi"}]
KEY = "sk-proj-0123456789abcdef"
ENVIRON = {"OPENAI_API_KEY": KEY}


def planned(model="openai/gpt-4o", messages=HI, environ=ENVIRON, **arguments):
    return plan(model, messages, environ, **arguments)


# Bad inputs, and words of the message that says what to change

BAD_MODELS = {
    "none": (None, InvalidRequestError, "model must be a name like 'openai/gpt-4o-mini', got None"),
    "a number": (7, InvalidRequestError, "got 7"),
    "empty": ("", InvalidRequestError, "model must be a name"),
    "blank": ("  ", InvalidRequestError, "model must be a name"),
    "no provider": ("my-model", UnknownProviderError, "write PROVIDER/my-model"),
    "no model": ("openai/", UnknownProviderError, "write openai/MODEL"),
    "misspelt": ("opanai/gpt-4o", UnknownProviderError, "did you mean openai/gpt-4o?"),
    "unknown": ("acme/gpt-4o", UnknownProviderError, "the known providers are "),
}

BAD_MESSAGES = {
    "none": (None, "messages must be a list of objects with a role, got NoneType"),
    "text": ("hi", "messages must be a list of objects with a role, got str"),
    "one message": ({"role": "user", "content": "hi"}, "must be a list"),
    "empty": ([], "messages must not be empty"),
    "a text in the list": ([*HI, "hi"], r"messages\[1\] must be an object with a role, got 'hi'"),
    "no role": ([{"content": "hi"}], r"messages\[0\] must be an object with a role"),
    "a role of null": ([{"role": None, "content": "hi"}], r"messages\[0\]"),
}

BAD_ARGUMENTS = {
    "misspelt": ({"temprature": 0}, UnsupportedParamsError, "did you mean temperature?"),
    "unknown": ({"frobnicate": 1}, UnsupportedParamsError, "extra_body, or pass drop_params=True"),
    "on_interrupt": ({"on_interrupt": "retry"}, InvalidRequestError, "or 'restart', got 'retry'"),
    "JSON": ({"additional_params": "{top_k: 5}"}, InvalidRequestError, "additional_params is not"),
    "a JSON list": ({"additional_params": "[1]"}, InvalidRequestError, "must be a JSON object"),
    "a dict": ({"additional_params": {"a": 1}}, InvalidRequestError, "additional_params"),
    "extra_body": ({"extra_body": "top_k=5"}, InvalidRequestError, "extra_body must be a"),
    "extra_headers": ({"extra_headers": "X: y"}, InvalidRequestError, "extra_headers must"),
    "a header of None": ({"extra_headers": {"x-a": None}}, InvalidRequestError, "'x-a'"),
    "a header of a number": ({"extra_headers": {"x-a": 1}}, InvalidRequestError, "'x-a'"),
    "a header with a line break": ({"extra_headers": {"x-a": "1\r\n"}}, InvalidRequestError, "x-a"),
    "a timeout of text": ({"timeout": "30"}, InvalidRequestError, "timeout must be"),
    "a timeout of zero": ({"timeout": 0}, InvalidRequestError, "timeout must be"),
    "a negative timeout": ({"timeout": -1.0}, InvalidRequestError, "timeout must be"),
    "a timeout among others": (
        {"timeout": Timeouts(inter_chunk="9")},  # type: ignore[arg-type]
        InvalidRequestError,
        "timeout must be",
    ),
    "a dict of timeouts": ({"timeout": {"connect": 1}}, InvalidRequestError, "timeout must be"),
    "retries of text": ({"num_retries": "2"}, InvalidRequestError, "num_retries must be"),
    "negative retries": ({"num_retries": -1}, InvalidRequestError, "num_retries must be"),
    "litellm's name for it": ({"max_retries": 1.5}, InvalidRequestError, "num_retries must be"),
    "a policy of a number": ({"retry": 3}, InvalidRequestError, "retry must be a RetryPolicy"),
    "base_url": ({"base_url": "localhost:8000"}, InvalidRequestError, "must start with http://"),
    "base_url, other": ({"api_base": "ftp://x/v1"}, InvalidRequestError, "must start with http://"),
    "base_url without a host": ({"base_url": "https:///v1"}, InvalidRequestError, "name a host"),
    "base_url with a bad port": ({"base_url": "http://h:x/"}, InvalidRequestError, "name a host"),
    "half a base_url": ({"base_url": "http://[::1"}, InvalidRequestError, "name a host"),
    "base_url of bytes": ({"base_url": b"http://h"}, InvalidRequestError, "base_url must be text"),
    "a key with a line break": ({"api_key": "sk-\nabc"}, AuthenticationError, "line break"),
    "a key in quotes": ({"api_key": "\u201csk-abc\u201d"}, AuthenticationError, "ASCII"),
    "a key of bytes": ({"api_key": b"sk-abc"}, AuthenticationError, "text"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "cls", "says"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_model_without_a_provider_is_an_error_that_names_one(model, cls, says):
    with pytest.raises(cls) as caught:
        planned(model)
    assert says in str(caught.value)
    assert (caught.value.status_code, caught.value.retryable) == (400, False)


@pytest.mark.parametrize(("messages", "says"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_messages_are_a_list_of_objects_with_a_role(messages, says):
    with pytest.raises(InvalidRequestError, match=says):
        planned(messages=messages)


@pytest.mark.parametrize(("arguments", "cls", "says"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_an_invalid_argument_is_an_error(arguments, cls, says):
    with pytest.raises(cls) as caught:
        planned(**arguments)
    assert type(caught.value) is cls
    assert says in str(caught.value)
    assert not caught.value.retryable


def test_a_message_about_a_long_value_is_short():
    with pytest.raises(InvalidRequestError) as caught:
        planned(messages=["x" * 100_000])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("key", ["a\n0123456789", "\u201c0123456789\u201d", "0123456789\0"])
def test_a_broken_key_is_not_shown(key):
    with pytest.raises(AuthenticationError) as caught:
        planned(api_key=key)
    assert "0123456789" not in str(caught.value) + repr(caught.value.__context__)


UNSENDABLE = {
    "a model": {"model": "acme/m"},
    "messages": {"messages": []},
    "a parameter": {"temprature": 0},
    "no JSON": {"messages": [{"role": "user", "content": {1, 2}}]},
    "no UTF-8": {"messages": [{"role": "user", "content": "\ud800"}]},
    "no JSON in a parameter": {"tools": [object()]},
    "no JSON in extra_body": {"extra_body": {"x": object()}},
    "an integer that is too large": {"seed": 2**70},
    "a timeout": {"timeout": "soon"},
    "a key": {"api_key": "sk-\nabc"},
    "a header": {"extra_headers": {"x": 1}},
    "base_url": {"base_url": "localhost"},
    "on_interrupt": {"on_interrupt": 1},
}


@pytest.mark.parametrize("arguments", UNSENDABLE.values(), ids=UNSENDABLE)
@pytest.mark.parametrize("streamed", [True, False])
def test_nothing_is_sent_and_nothing_is_retried(arguments, streamed):
    def fail(request):
        raise AssertionError("sent")

    call = {"model": "openai/m", "messages": HI, "api_key": KEY, "stream": streamed} | arguments
    transport = httpx.MockTransport(fail)
    with Client(transport=transport) as client, pytest.raises(RitellmError) as caught:
        client.completion(**call)
    assert not caught.value.retryable

    async def ask():
        async with AsyncClient(transport=transport) as client:
            await client.completion(**call)

    with pytest.raises(type(caught.value)) as again:
        asyncio.run(ask())
    assert str(again.value) == str(caught.value)


# Good inputs


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "https://api.openai.com/v1"),
        ({"base_url": "http://127.0.0.1:8000/v1"}, "http://127.0.0.1:8000/v1"),
        ({"api_base": "http://127.0.0.1:8000/v1"}, "http://127.0.0.1:8000/v1"),
        ({"base_url": "https://a/v1", "api_base": "https://b/v1"}, "https://a/v1"),
        ({"base_url": "http://[::1]:8000/v1"}, "http://[::1]:8000/v1"),
        ({"base_url": " https://a/v1\n"}, "https://a/v1"),
    ],
)
def test_an_address_is_taken_by_either_name(given, address):
    assert planned(**given).endpoint.base_url == address


@pytest.mark.parametrize(
    ("environ", "given", "key"),
    [
        ({"OPENAI_API_KEY": "a"}, {}, "a"),
        ({"OPENAI_API_KEY": "a"}, {"api_key": "b"}, "b"),
        ({"OPENAI_API_KEY": "a\n"}, {}, "a"),  # as `$(cat key.txt)` would have it
        ({}, {"api_key": " b \n"}, "b"),
        ({}, {"base_url": "http://127.0.0.1/v1"}, None),  # a server of one's own
        ({"OPENAI_API_KEY": ""}, {"base_url": "http://127.0.0.1/v1"}, None),
    ],
)
def test_a_key_comes_from_the_caller_or_the_environment(environ, given, key):
    assert planned(environ=environ, **given).endpoint.key == key


def test_a_missing_key_is_an_error_that_names_its_variable():
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY, or pass api_key") as caught:
        planned(environ={})
    assert not caught.value.retryable


def test_parameters_pass_and_those_of_none_are_not_sent():
    given = {**dict.fromkeys(CHAT_PARAMS, 1), "metadata": {"a": "b"}}
    assert planned(**given).request.params == given
    assert planned(temperature=None, max_tokens=5).request.params == {"max_tokens": 5}
    assert planned(temperature=0, stop=[]).request.params == {"temperature": 0, "stop": []}


def test_unknown_parameters_can_be_dropped():
    request = planned(frobnicate=1, temperature=0, drop_params=True).request
    assert request.params == {"temperature": 0}
    assert request.drop_params


def test_additional_params_are_the_body_and_extra_body_comes_after_them():
    request = planned(additional_params='{"a": 1, "b": 1}', extra_body={"b": 2}).request
    assert request.extra_body == {"a": 1, "b": 2}
    assert planned(additional_params="").request.extra_body == {}


def test_a_tuple_of_messages_is_a_list():
    assert planned(messages=tuple(HI)).request.messages == HI


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, RetryPolicy()),
        ({"num_retries": 0}, RetryPolicy(num_retries=0)),
        ({"num_retries": 0, "max_retries": 5}, RetryPolicy(num_retries=0)),
        ({"max_retries": 5}, RetryPolicy(num_retries=5)),
        ({"retry": RetryPolicy(first_delay=9)}, RetryPolicy(first_delay=9)),
        ({"retry": RetryPolicy(first_delay=9), "num_retries": 1}, RetryPolicy(1, first_delay=9)),
    ],
)
def test_retries_are_counted_by_either_name(given, policy):
    assert planned(**given).retry == policy


@pytest.mark.parametrize("timeout", [None, 5, 0.5, Timeouts(), Timeouts(None, None, None, None)])
def test_timeouts_are_numbers_or_none(timeout):
    assert planned(timeout=timeout).timeouts == Timeouts.of(timeout)


def test_the_key_is_in_no_repr_of_the_plan():
    assert KEY not in repr(planned(api_key=KEY))


def test_the_callers_objects_are_left_alone():
    messages, body = [dict(HI[0])], {"a": 1}
    planned(messages=messages, extra_body=body, additional_params='{"b": 2}')
    assert messages == HI
    assert body == {"a": 1}
