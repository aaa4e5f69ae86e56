"""Reasoning and signatures go back in the form that the server reads."""

from __future__ import annotations

import pytest
from bodies import history, sent


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("hosted_vllm/m", "reasoning"),
        ("deepseek/m", "reasoning_content"),
        ("moonshot/m", "reasoning_content"),
    ],
)
@pytest.mark.parametrize("came_as", ["reasoning", "reasoning_content"])
def test_reasoning_goes_back_under_the_name_that_the_server_reads(model, name, came_as):
    [_, assistant, _] = sent(model, history(**{came_as: "Hm"}))["messages"]
    assert {key: assistant.get(key) for key in ("reasoning", "reasoning_content")} == {
        "reasoning": None,
        "reasoning_content": None,
        name: "Hm",
    }


TEXT = {"type": "reasoning.text", "format": "anthropic-claude-v1"}


@pytest.mark.parametrize("model", ["openrouter/anthropic/claude-sonnet-4.5", "snowflake/m"])
@pytest.mark.parametrize(
    ("pieces", "blocks"),
    [
        (
            [{**TEXT, "index": 0, "text": "Let"}, {**TEXT, "index": 0, "text": " me."},
             {**TEXT, "index": 0, "signature": "S"}],
            [{**TEXT, "index": 0, "text": "Let me.", "signature": "S"}],
        ),
        (
            [{**TEXT, "index": 0, "text": "a"}, {**TEXT, "index": 1, "text": "b"}],
            [{**TEXT, "index": 0, "text": "a"}, {**TEXT, "index": 1, "text": "b"}],
        ),
        (
            [{**TEXT, "index": 0, "signature": "S"}, {**TEXT, "index": 0, "text": "b"}],
            [{**TEXT, "index": 0, "signature": "S"}, {**TEXT, "index": 0, "text": "b"}],
        ),
        (
            [{"type": "reasoning.encrypted", "index": 0, "id": "x", "data": "A"},
             {"type": "reasoning.encrypted", "index": 0, "id": "y", "data": "B"}],
            [{"type": "reasoning.encrypted", "index": 0, "id": "x", "data": "A"},
             {"type": "reasoning.encrypted", "index": 0, "id": "y", "data": "B"}],
        ),
        ([{**TEXT, "text": "a"}, {**TEXT, "text": "b"}],
         [{**TEXT, "text": "a"}, {**TEXT, "text": "b"}]),
    ],
)  # fmt: skip
def test_the_pieces_of_a_reasoning_block_go_back_as_one_block(model, pieces, blocks):
    [_, assistant, _] = sent(model, history(reasoning_details=pieces))["messages"]
    assert assistant["reasoning_details"] == blocks


SIGNED = [
    {"type": "thinking", "thinking": "Let me.", "signature": "S"},
    {"type": "redacted_thinking", "data": "D"},
]
DETAILS = [
    {**TEXT, "index": 0, "text": "Let me.", "signature": "S"},
    {"type": "reasoning.encrypted", "format": TEXT["format"], "index": 1, "data": "D"},
]


@pytest.mark.parametrize("model", ["anthropic/claude-x", "vertex_ai/claude-x"])
@pytest.mark.parametrize("given", [{"thinking_blocks": SIGNED}, {"reasoning_details": DETAILS}])
def test_claudes_signed_thoughts_go_back_by_another_door(model, given):
    [_, assistant, _] = sent(model, history(**given))["messages"]
    assert assistant["content"][:2] == SIGNED
    [_, assistant, _] = sent("bedrock/us.anthropic.claude-x", history(**given))["messages"]
    assert assistant["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Let me.", "signature": "S"}}},
        {"reasoningContent": {"redactedContent": "D"}},
    ]
    [_, assistant, _] = sent("openrouter/anthropic/claude-x", history(**given))["messages"]
    assert assistant["reasoning_details"] == DETAILS


def test_a_thought_of_another_model_does_not_go_to_claude():
    detail = {"type": "reasoning.encrypted", "format": "openai-responses-v1", "data": "D"}
    [_, assistant, _] = sent("anthropic/claude-x", history(reasoning_details=[detail]))["messages"]
    assert [block["type"] for block in assistant["content"]] == ["tool_use"]
    [_, assistant, _] = sent("openrouter/openai/o3", history(thinking_blocks=SIGNED))["messages"]
    assert "reasoning_details" not in assistant


def test_geminis_signature_goes_back_from_a_router():
    detail = {"type": "reasoning.encrypted", "format": "google-gemini-v1", "data": "SIG"}
    messages = history(reasoning_details=[{**detail, "id": "a1b2c3d4e"}])
    [_, turn, _] = sent("gemini/gemini-3-flash", messages)["contents"]
    assert turn["parts"][0]["thoughtSignature"] == "SIG"


def test_geminis_signature_goes_back_by_the_door_that_it_came_in():
    google = {"google": {"thought_signature": "SIG"}}
    for given in (
        {"extra_content": google},
        {"provider_specific_fields": {"thought_signature": "SIG"}},
    ):
        for model in ("vertex_ai/openapi/google/gemini-3-flash", "openai/gemini-3-flash"):
            [_, assistant, _] = sent(model, history(given))["messages"]
            assert assistant["tool_calls"][0]["extra_content"] == google
        [_, turn, _] = sent("gemini/gemini-3-flash", history(given))["contents"]
        assert [part["thoughtSignature"] for part in turn["parts"]] == ["SIG"]
