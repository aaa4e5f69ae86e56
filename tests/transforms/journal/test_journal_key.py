"""The hash of a request: it changes with all that can change the completion, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.errors import InvalidRequestError
from transforms.journal import (
    request_hash,
)

BODY = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"a": {"x": 1, "y": 2}}]}


def hashed(model="openai/m", base_url=None, params=None, **body):
    return request_hash(model, base_url, params or {}, {**BODY, **body})


@pytest.mark.parametrize(
    "same",
    [
        hashed(api_key="sk-1"),
        hashed(params={"api_key": "sk-2", "timeout": 3, "num_retries": 9, "on_interrupt": "raise"}),
        hashed(stream=True),
        hashed(aws_secret_access_key="s", aws_session_token="t", vertex_credentials="{}"),
        hashed(temperature=None, extra_headers={}),
        hashed(params={"model": "openai/m"}, model="openai/other"),
        hashed(extra_headers={"Authorization": "Bearer 1", "X-Api-Key": "2"}, timeout=1),
        request_hash("openai/m", "", {"tools": BODY["tools"]}, {"messages": BODY["messages"]}),
        request_hash("x", None, {"tools": []}, {"model": "openai/m", **BODY}),
    ],
)
def test_keys_timeouts_and_retries_do_not_change_the_hash(same):
    assert same == hashed()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"params": {"top_p": 0.5}}, {"top_p": 0.5}),
        ({"params": {"top_p": 0.1}, "top_p": 0.5}, {"top_p": 0.5}),
        ({"base_url": "http://h/v1"}, {"base_url": "http://h/v1/"}),
        ({"base_url": "http://h/v1"}, {"params": {"api_base": "http://h/v1"}}),
        ({"extra_headers": {"Anthropic-Beta": "x"}}, {"extra_headers": {"anthropic-beta": "x"}}),
        ({"metadata": {"note": "not sent"}}, {}),
        ({"metadata": {"note": "not sent"}, "store": False}, {"store": False}),
    ],
)
def test_two_spellings_of_a_request_have_the_same_hash(one, other):
    assert hashed(**one) == hashed(**other)


DIFFERENT = [
    {},
    {"model": "openai/n"},
    {"base_url": "http://h/v1"},
    {"base_url": "http://h/v2"},
    {"messages": [{"role": "user", "content": "hi "}]},
    {"messages": [{"role": "system", "content": "hi"}]},
    {"tools": [{"a": {"x": 2, "y": 1}}]},
    {"temperature": 0},
    {"temperature": 0.5},
    {"max_tokens": 10},
    {"n": 2},
    {"seed": 1},
    {"response_format": {"type": "json_object"}},
    {"extra_body": {"top_k": 3}},
    {"extra_headers": {"anthropic-beta": "x"}},
    {"drop_params": True},
    {"store": True},
    {"store": True, "metadata": {"note": "sent"}},
    {"something": "that is unknown"},
]


def test_everything_that_can_change_the_completion_changes_the_hash():
    assert len({hashed(**given) for given in DIFFERENT}) == len(DIFFERENT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def backwards(value):
    """Return `value` with the keys of all objects in the opposite order."""
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


@given(body=st.dictionaries(st.text(), JSON, max_size=6))
def test_the_order_of_keys_does_not_change_the_hash(body):
    assert request_hash("m", None, {}, body) == request_hash("m", None, {}, backwards(body))


def test_the_hashes_of_earlier_versions_stay_the_same():
    assert hashed(temperature=0.5) == "7eeea1e7994a4c4d431630ad93cfbafb"


def test_a_request_that_is_not_json_is_an_invalid_request():
    with pytest.raises(InvalidRequestError, match="cannot be written as JSON"):
        hashed(seed=object())
