"""The types of `completion()`'s parameters match what the code accepts."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

import ritellm
from ritellm.calls import prepare
from ritellm.calls.params import (
    CALLER_ONLY,
    CHAT_PARAMS,
    COMMON_PARAMS,
    IGNORED,
    POLICY,
    AnswerParams,
    BodyParams,
    CompletionParams,
    ConnectionParams,
)
from ritellm.errors import UnsupportedParamsError
from ritellm.providers import OPTIONS
from ritellm.wire.capabilities import CAPABILITIES
from transforms.journal import key

HI = [{"role": "user", "content": "hi"}]
EVERY = CompletionParams.__optional_keys__
BODY = BodyParams.__optional_keys__
DIALECTS = sorted({row.params_in for row in CAPABILITIES.values() if row.params_in})
FACES = [
    ritellm.completion,
    ritellm.acompletion,
    ritellm.batch_completion,
    ritellm.Client,
    ritellm.Client.completion,
    ritellm.Client.draft,
    ritellm.AsyncClient,
    ritellm.AsyncClient.completion,
    ritellm.AsyncClient.draft,
    prepare.draft,
    prepare.plan,
]


@pytest.mark.parametrize("function", FACES, ids=lambda function: function.__qualname__)
def test_every_face_names_its_parameters(function):
    *_, rest = inspect.signature(function).parameters.values()
    assert rest.kind is rest.VAR_KEYWORD
    assert rest.annotation == "Unpack[CompletionParams]"


def test_every_parameter_has_one_group():
    groups = (CALLER_ONLY, BODY, IGNORED, AnswerParams.__optional_keys__)
    assert sorted(EVERY) == sorted(name for group in groups for name in group)
    assert CHAT_PARAMS | COMMON_PARAMS <= BODY


def test_the_options_of_the_providers_are_connection_parameters():
    assert ConnectionParams.__optional_keys__ >= OPTIONS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_parameters_of_a_dialect_are_parameters_of_a_completion(dialect):
    assert import_module(f"ritellm.wire.{dialect}.request").PARAMS <= CHAT_PARAMS | COMMON_PARAMS


@pytest.mark.parametrize("name", sorted(EVERY - {"on_interrupt", "on_length"}))
def test_a_typed_parameter_is_known(name):
    # An unset parameter passes every check but that of its name; `mock_response` takes anything.
    value = "x" if name == "mock_response" else None
    prepare.draft("openai/m", {"OPENAI_API_KEY": "k"}, **{name: value})


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_misspelt_parameter_is_an_error(name):
    with pytest.raises(UnsupportedParamsError, match=f"unknown parameter '{name}_'"):
        prepare.draft("openai/m", {"OPENAI_API_KEY": "k"}, **{f"{name}_": 1})


def test_the_policy_does_not_change_the_key_in_the_journal():
    plain = key.request_hash("m", None, {}, {"messages": HI})
    for name in POLICY - {"request_timeout", "on_length"}:
        assert key.request_hash("m", None, {name: "x"}, {"messages": HI}) == plain
