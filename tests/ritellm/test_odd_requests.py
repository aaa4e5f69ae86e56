"""No value of a request raises anything but a RitellmError, which names the parameter.

Each value of a rich request is replaced by values of other types. Either the request is sent, and
the provider judges it, or the error comes before anything is sent.
"""

from __future__ import annotations

import contextlib
import functools

import pytest
from odd_values import DEEP, variants
from rich_answers import ANSWERS
from rich_requests import MESSAGES, PARAMS

from ritellm import Client
from ritellm.calls.call import Call
from ritellm.calls.params import CompletionParams
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.rate_limits.queue import estimated_tokens
from ritellm.token_estimate import estimate_request

MODELS = {
    "openai_chat": "openai/m",
    "openai_responses": "openai/responses/m",
    "anthropic": "anthropic/claude-x",
    "gemini": "gemini/gemini-x",
    "cohere": "cohere/command-x",
    "bedrock": "bedrock/amazon.nova-x:0",
    "ollama": "ollama/m",
}
EVERY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
PLAIN = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")


@pytest.fixture(scope="module")
def client():
    return Client(api_key="k", drop_params=True)


def build(client, model, messages, params):
    """Do all that happens to a request before it is sent."""
    body = {**params, "messages": messages}
    estimate_request(body)
    plan = client.draft(model, stream=True, **params).plan(messages)
    estimated_tokens(plan.request)
    call = Call(plan, 0.0)
    call.start(plan.endpoint, 0.0).http_request()


def crashes(client, model, requests):
    """Return the names of the requests that raise another error, or one that names nothing."""
    found = []
    for name, messages, params in requests:
        try:
            build(client, model, messages, params)
        except RitellmError as error:
            if not any(word in str(error) for word in (*params, *NAMES)):
                found.append(f"{name} is not named: {error}")
        except Exception as error:
            found.append(f"{name}: {error!r:.200}")
    return found


# What an error about messages names: the message, its field, or the kind of its part.
NAMES = "message content role tool_call call part image file audio".split()


def test_every_dialect_is_tried():
    assert MODELS.keys() == ANSWERS.keys()


@EVERY
def test_no_value_of_a_message_escapes_as_another_error(client, model):
    requests = (
        (name, odd if isinstance(odd, list) else [odd], {})
        for message in MESSAGES
        for name, odd in variants(message)
    )
    assert crashes(client, model, requests) == []


@EVERY
def test_no_value_of_a_parameter_escapes_as_another_error(client, model):
    requests = (
        (f"{name}.{where}", PLAIN, {name: odd})
        for name, value in PARAMS.items()
        for where, odd in variants(value)
    )
    assert crashes(client, model, requests) == []


@EVERY
@pytest.mark.parametrize("levels", [300, 500, 1000])
def test_too_many_levels_are_an_error_that_names_the_parameter(client, model, levels):
    deep = functools.reduce(lambda inner, _: [inner], range(levels), "odd")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"enum": deep}}}
    for name, params in (
        ("tools", {"tools": [tool]}),
        ("extra_body", {"extra_body": {"x": deep}}),
    ):
        with pytest.raises(InvalidRequestError, match=name):
            build(client, model, PLAIN, params)


class Unreadable:
    """A value that raises when it is read, as an array does when it is tested for truth."""

    def __bool__(self):
        raise ValueError("the truth of an array is ambiguous")

    def __repr__(self):
        raise RuntimeError("no text")


# Parameters that are only read when the request is sent, or not at all, or by their identity.
UNREAD = CompletionParams.__optional_keys__ - set(
    "additional_params api_key base_url buffer_chunks buffer_msec custom_llm_provider"
    " drop_params fallbacks num_retries on_interrupt record stream timeout".split()
)


@pytest.mark.parametrize("name", sorted(CompletionParams.__optional_keys__ - UNREAD))
def test_a_value_that_raises_when_it_is_read_is_an_error_that_names_its_parameter(client, name):
    with pytest.raises(InvalidRequestError, match=f"^{name} has a value of .*, got Unreadable"):
        client.draft("openai/m", **{name: Unreadable()})


@pytest.mark.parametrize("name", sorted(CompletionParams.__optional_keys__))
def test_no_such_value_escapes_as_another_error(client, name):
    with contextlib.suppress(RitellmError):
        build(client, "openai/m", PLAIN, {name: Unreadable()})


@pytest.mark.parametrize("messages", [Unreadable(), [Unreadable()], [{"role": Unreadable()}]])
def test_such_messages_are_an_error_that_names_them(client, messages):
    with pytest.raises(InvalidRequestError, match="messages"):
        client.completion("openai/m", messages)


@pytest.mark.parametrize("odd", ["\ud800", {1: 2}, {"a": object()}, [{"choices": object()}]])
def test_a_mock_that_cannot_be_written_is_an_error_that_names_it(client, odd):
    with pytest.raises(InvalidRequestError, match="mock_response has a value of an unexpected"):
        client.completion("openai/m", PLAIN, mock_response=odd)


def test_a_number_beyond_all_floats_is_an_error_that_names_its_parameter(client):
    with pytest.raises(InvalidRequestError, match=r"^buffer_msec has a value of an"):
        client.draft("openai/m", buffer_msec=10**400)


def test_the_error_names_the_message_and_says_why(client):
    messages = [*PLAIN, {"role": "user", "content": DEEP}]
    with pytest.raises(InvalidRequestError) as caught:
        build(client, "openai/m", messages, {"temperature": 0})
    assert "messages[1] has a value of an unexpected type" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("huge", [1e308, 2**63, "1e308", 10**400])
def test_an_estimate_of_a_huge_parameter_is_a_number(huge):
    prompt, completion = estimate_request({"messages": PLAIN, "max_tokens": huge, "n": huge})
    assert 0 < prompt < 1000
    assert completion is None or float(completion) > 0


def test_an_estimate_does_not_fail_for_text_that_is_not_unicode():
    assert estimate_request({"messages": [{"role": "user", "content": "\ud800"}]}) == (0, None)
