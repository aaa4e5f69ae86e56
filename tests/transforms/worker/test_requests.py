"""Rows with the same parameters share a draft; rows may not set parameters of the job."""

from __future__ import annotations

import orjson
import pytest

from ritellm.calls.params import CALLER_ONLY
from ritellm.calls.prepare import draft
from ritellm.errors import InvalidRequestError
from transforms.elements import Prompt
from transforms.worker.requests import Drafts, PromptRequest, laid_over, request_of

MESSAGES = [{"role": "user", "content": "hello"}]
ENVIRON = {"OPENAI_API_KEY": "k", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


def request(**body):
    prompt = Prompt("a", orjson.dumps({"messages": MESSAGES, **body}).decode())
    return PromptRequest(prompt, request_of(prompt))


class Making:
    """Makes drafts, and counts them."""

    def __init__(self):
        self.made = []

    def __call__(self, model, **own):
        self.made.append((model, own))
        return draft(model, ENVIRON, stream=True, aws_region_name="us-east-1", **own)


def test_rows_with_the_same_parameters_share_all_but_their_messages():
    drafts, making = Drafts(), Making()
    plans = [
        drafts.plan(request(messages=[{"role": "user", "content": text}]), "openai/m", making)
        for text in ("one", "two")
    ]
    assert [plan.request.messages[0]["content"] for plan in plans] == ["one", "two"]
    assert plans[0].endpoint is plans[1].endpoint
    assert making.made == [("openai/m", {})]


@pytest.mark.parametrize("other", [{"temperature": 1}, {"model": "openai/other"}])
def test_a_row_with_parameters_of_its_own_gets_a_draft_of_its_own(other):
    drafts, making = Drafts(), Making()
    drafts.plan(request(), "openai/m", making)
    plan = drafts.plan(request(**other), "openai/m", making)
    assert {"model": f"openai/{plan.request.model}", **plan.request.params}.items() >= other.items()
    assert len(making.made) == 2


def test_credentials_that_may_expire_are_looked_up_for_each_row():
    drafts, making = Drafts(), Making()
    for _ in range(2):
        drafts.plan(request(), "bedrock/anthropic.claude-3", making)
    assert len(making.made) == 2


def test_the_number_of_drafts_is_limited():
    drafts, making = Drafts(), Making()
    for seed in range(1000):
        drafts.plan(request(seed=seed), "openai/m", making)
    assert len(drafts._kept) <= 256
    assert drafts.plan(request(seed=0), "openai/m", making).request.params == {"seed": 0}


@pytest.mark.parametrize("name", sorted(CALLER_ONLY))
def test_a_row_cannot_set_an_address_a_key_or_another_provider(name):
    with pytest.raises(InvalidRequestError, match=f"a row may not set {name}: only the job may"):
        request(**{name: "x"})


HIDDEN = {
    "the model": {"model": "openai/dearest"},
    "a gateway's models": {"models": ["a", "b"]},
    "a gateway's provider": {"provider": {"order": ["dear"]}},
    "the question": {"messages": []},
    "a stream": {"stream": False},
    "tokens": {"max_tokens": 10**6},
    "tokens of late": {"max_completion_tokens": 10**6},
    "tokens of Responses": {"max_output_tokens": 10**6},
    "tokens of Gemini": {"generationConfig": {"maxOutputTokens": 10**6}},
    "tokens of Bedrock": {"inferenceConfig": {"maxTokens": 10**6}},
    "tokens of Ollama": {"options": {"num_predict": 10**6}},
    "tokens deep down": {"a": {"b": {"c": {"max-new-tokens": 10**6}}}},
    "no limit at all": {"generationConfig": None},
    "another limit": {"generation_config": {}},
    "no limit of Bedrock": {"inferenceConfig": "none"},
    "how often": {"n": 100},
    "the best of many": {"best_of": 100},
    "candidates": {"generationConfig": {"candidateCount": 8}},
    "a dearer tier": {"service_tier": "priority"},
    "a dearer tier of Bedrock": {"serviceTier": {"type": "priority"}},
    "an address": {"api_base": "http://elsewhere"},
    "an address for a gateway": {"litellm_params": {"api_base": "http://elsewhere"}},
    "headers": {"extra_headers": {"authorization": "x"}},
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_a_row_cannot_hide_a_limit_or_a_price_in_extra_body(hidden):
    for argument, value in [
        ("extra_body", hidden),
        ("additional_params", orjson.dumps(hidden).decode()),
    ]:
        with pytest.raises(
            InvalidRequestError, match=f"in {argument}, which the budget does not read"
        ):
            request(**{argument: value})


@pytest.mark.parametrize(
    "extra",
    [
        {"top_k": 5, "documents": [{"model": "Ford", "n": 1}], "guided_json": {"type": "object"}},
        {"schema": {"properties": {"n": {"type": "integer"}, "model": {"type": "string"}}}},
        {"generationConfig": {"topK": 4}, "keep_alive": "1h"},
    ],
)
def test_a_row_may_set_parameters_of_a_single_provider(extra):
    asked = request(extra_body=extra)
    assert Drafts().plan(asked, "openai/m", Making()).request.extra_body == extra


@pytest.mark.parametrize(("name", "value"), [("extra_body", "x"), ("additional_params", "{")])
def test_a_value_that_is_not_an_object_is_refused_with_its_name(name, value):
    with pytest.raises(InvalidRequestError, match=name):
        Drafts().plan(request(**{name: value}), "openai/m", Making())


def test_an_unknown_parameter_of_a_row_is_refused_with_a_suggestion():
    with pytest.raises(InvalidRequestError, match="did you mean temperature"):
        Drafts().plan(request(temprature=1), "openai/m", Making())


def test_a_row_adds_to_the_extra_body_of_the_job_and_removes_nothing():
    job = {"extra_body": {"guardrailConfig": {"id": "g"}}, "max_tokens": 5}
    both = laid_over(job, {"extra_body": {"top_k": 4}})
    assert both["extra_body"] == {"guardrailConfig": {"id": "g"}, "top_k": 4}
    for nothing in ({"extra_body": None}, {"max_tokens": None}, {}):
        assert laid_over(job, nothing) == {}
    with pytest.raises(InvalidRequestError, match="may not set guardrailConfig in extra_body"):
        laid_over(job, {"extra_body": {"guardrailConfig": None}})
