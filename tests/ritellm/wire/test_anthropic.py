"""Anthropic's Messages API, and Claude on Vertex: requests and responses."""

from __future__ import annotations

import json
import pickle

import orjson
import pytest
from provider_replay import asked, body, cuts, message, recordings, sprinkled, streamed, whole
from replay import sse

from ritellm import wire as wires
from ritellm.chunks import stream_chunk_builder
from ritellm.errors import (
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    ContextWindowExceededError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    StreamTruncatedError,
    Timeout,
    UnsupportedParamsError,
)

OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def turns(*messages, **params):
    return body("anthropic", list(messages), **params)["messages"]


def user(content):
    return {"role": "user", "content": content}


def text(said, **more):
    return {"type": "text", "text": said, **more}


# What is sent: the bytes


def test_a_plain_request_has_these_bytes():
    request = asked("anthropic", model=OLD, base_url="https://api.anthropic.com", temperature=0.5)
    assert request.method == "POST"
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "secret",
    }
    assert request.content == (
        b'{"model":"claude-sonnet-4-5","max_tokens":8192,"messages":[{"role":"user","content":'
        b'[{"type":"text","text":"hi"}]}],"temperature":0.5}'
    )


def test_the_body_requests_a_stream_and_usage_always_arrives():
    request = asked("anthropic", stream=True, stream_options={"include_usage": True})
    assert request.headers["accept"] == "text/event-stream"
    assert orjson.loads(request.content)["stream"] is True
    assert b"stream_options" not in request.content


@pytest.mark.parametrize(
    "base_url",
    [
        "https://host/proxy",
        "https://host/proxy/",
        "https://host/proxy/v1",
        "https://host/proxy/v1/messages",
    ],
)
def test_base_url_is_the_root_or_the_whole_address(base_url):
    assert asked("anthropic", base_url=base_url).url == "https://host/proxy/v1/messages"


def test_the_caller_s_own_headers_and_fields_come_last():
    request = asked(
        "anthropic",
        max_tokens=5,
        reasoning_effort="low",
        model=NEW,
        extra_headers={"Anthropic-Beta": "b1", "X-API-Key": "mine"},
        extra_body={"max_tokens": 6, "container": "c1", "output_config": {"x": 1}},
    )
    assert request.headers["anthropic-beta"] == "b1"
    assert request.headers["x-api-key"] == "mine"
    sent = orjson.loads(request.content)
    assert (sent["max_tokens"], sent["container"]) == (6, "c1")
    assert sent["output_config"] == {"effort": "low", "x": 1}


@pytest.mark.parametrize(("stream", "verb"), [(True, "streamRawPredict"), (False, "rawPredict")])
def test_claude_on_vertex_has_the_model_in_the_address(stream, verb):
    root = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"
    model = "claude-opus-4-5@20251101"
    request = asked("vertex_anthropic", model=model, base_url=root, stream=stream)
    assert request.url == f"{root}/publishers/anthropic/models/{model}:{verb}"
    assert request.headers["authorization"] == "Bearer secret"
    assert "x-api-key" not in request.headers
    sent = orjson.loads(request.content)
    assert sent["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in sent
    again = asked("vertex_anthropic", base_url=request.url, stream=stream)
    assert again.url == request.url


# What is sent: messages


def test_system_prompts_stand_apart_and_neighbours_of_one_role_are_one_turn():
    sent = body(
        "anthropic",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [text("Be kind.", cache_control={"type": "e"})]},
            user("one"),
            user([text("two")]),
            {"role": "assistant", "content": "three"},
            {"role": "assistant", "content": ""},
            user("four"),
        ],
    )
    assert sent["system"] == [text("Be brief."), text("Be kind.", cache_control={"type": "e"})]
    assert sent["messages"] == [
        user([text("one"), text("two")]),
        {"role": "assistant", "content": [text("three")]},
        user([text("four")]),
    ]


PARTS = {
    "data image": (
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        },
    ),
    "jpg is jpeg": (
        {"type": "image_url", "image_url": "data:image/jpg;base64,AA=="},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/jpeg", "data": "AA=="},
        },
    ),
    "http image": (
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}},
    ),
    "pdf": (
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            "cache_control": {"type": "ephemeral"},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
            "cache_control": {"type": "ephemeral"},
        },
    ),
    "text file": (
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aMOpCg=="}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "hé\n"},
        },
    ),
    "image file": (
        {"type": "file", "file": {"file_data": PIXEL}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        },
    ),
    "file by address": (
        {"type": "file", "file": {"file_data": "https://x.org/a.pdf"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.org/a.pdf"}},
    ),
    "file by id": (
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ),
    "Anthropic's own": (
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), PARTS.values(), ids=PARTS)
def test_parts(ours, theirs):
    assert turns(user([text("look"), ours])) == [user([text("look"), theirs])]


def test_tool_calls_and_their_results_are_blocks_of_two_turns():
    calls = [
        {"id": "call.1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    sent = turns(
        user("go"),
        {"role": "assistant", "content": "Let me.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call.1", "content": "one"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "", "is_error": True},
        user("and?"),
    )
    # An id in another provider's spelling is made to fit, the same way on both sides.
    assert sent[1:] == [
        {
            "role": "assistant",
            "content": [
                text("Let me."),
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
            ],
        },
        user(
            [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("one")]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True},
                text("and?"),
            ]
        ),
    ]


def test_signed_thoughts_are_sent_back_first_and_unsigned_ones_are_dropped():
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    redacted = {"type": "redacted_thinking", "data": "xx"}
    unsigned = {"type": "thinking", "thinking": "Another provider's."}
    answer = {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Hm.",
        "thinking_blocks": [signed, redacted, unsigned],
    }
    assert turns(user("?"), answer)[1]["content"] == [signed, redacted, text("Yes.")]


def test_cache_control_on_a_message_marks_its_last_block():
    mark = {"type": "ephemeral"}
    sent = turns({**user([text("a"), text("b")]), "cache_control": mark})
    assert sent == [user([text("a"), text("b", cache_control=mark)])]


BAD_MESSAGES = {
    "role": ({"role": "function", "content": "x"}, "no role 'function'"),
    "audio": (user([{"type": "input_audio", "input_audio": {}}]), "'input_audio'"),
    "no id": ({"role": "tool", "content": "x"}, "tool_call_id"),
    "empty file": (user([{"type": "file", "file": {}}]), "file_data"),
    "custom call": (
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {}}]},
        "custom",
    ),
    "broken arguments": (
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"arguments": "{"}}]},
        "must be JSON",
    ),
}


@pytest.mark.parametrize(("bad", "said"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_an_unsupported_request_is_an_error_before_sending(bad, said):
    with pytest.raises(InvalidRequestError, match=said):
        turns(bad)


# What is sent: parameters

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
TOOLS = {"tools": [{"type": "function", "function": FUNCTION}]}
SENT = {"tools": [TOOL]}

PARAMS = {
    "stop word": ({"stop": "END"}, {"stop_sequences": ["END"]}),
    "stop words": ({"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}),
    "sampling": ({"top_p": 0.9, "top_k": 5}, {"top_p": 0.9, "top_k": 5}),
    "limit": ({"max_tokens": 7}, {"max_tokens": 7}),
    "newer limit": ({"max_tokens": 7, "max_completion_tokens": 9}, {"max_tokens": 9}),
    "user": ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    "safety_identifier": ({"safety_identifier": "s1"}, {"metadata": {"user_id": "s1"}}),
    "metadata": ({"metadata": {"user_id": "m1"}}, {"metadata": {"user_id": "m1"}}),
    "tier": ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    "tools": (TOOLS, SENT),
    "tool without parameters": (
        {"tools": [{"type": "function", "function": {"name": "g"}}]},
        {"tools": [{"name": "g", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    "their own tool": (
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    ),
    "choice auto": ({**TOOLS, "tool_choice": "auto"}, {**SENT, "tool_choice": {"type": "auto"}}),
    "choice required": (
        {**TOOLS, "tool_choice": "required"},
        {**SENT, "tool_choice": {"type": "any"}},
    ),
    "choice none": (
        {**TOOLS, "tool_choice": "none", "parallel_tool_calls": False},
        {**SENT, "tool_choice": {"type": "none"}},
    ),
    "choice named": (
        {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {**SENT, "tool_choice": {"type": "tool", "name": "f"}},
    ),
    "their own choice": (
        {**TOOLS, "tool_choice": {"type": "any"}},
        {**SENT, "tool_choice": {"type": "any"}},
    ),
    "one call at a time": (
        {**TOOLS, "parallel_tool_calls": False},
        {**SENT, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "search": (
        {"web_search_options": {"user_location": {"approximate": {"city": "Rome"}}}},
        {
            "tools": [
                {
                    "type": "web_search_20250305",
                    "name": "web_search",
                    "user_location": {"type": "approximate", "city": "Rome"},
                }
            ]
        },
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
    ),
    "thinking": (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 8192 + 1024},
    ),
    "what asks for nothing": (
        {"n": 1, "logprobs": False, "frequency_penalty": 0, "response_format": {"type": "text"}},
        {},
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), PARAMS.values(), ids=PARAMS)
def test_parameters(ours, theirs):
    plain = body("anthropic", model=OLD)
    sent = body("anthropic", model=OLD, **ours)
    assert {k: v for k, v in sent.items() if plain.get(k) != v or k in theirs} == theirs


EFFORTS = [
    (OLD, "minimal", {}, {"type": "enabled", "budget_tokens": 1024}, None, 8192 + 1024),
    (OLD, "high", {}, {"type": "enabled", "budget_tokens": 16384}, None, 8192 + 16384),
    (OLD, "high", {"max_tokens": 6000}, {"type": "enabled", "budget_tokens": 3000}, None, 6000),
    (OLD, "none", {}, {"type": "disabled"}, None, 8192),
    (NEW, "minimal", {}, {"type": "adaptive", "display": "summarized"}, "low", 32000),
    (NEW, "xhigh", {"max_tokens": 9}, {"type": "adaptive", "display": "summarized"}, "xhigh", 9),
    (NEW, "high", {"thinking": {"type": "adaptive"}}, {"type": "adaptive"}, "high", 32000),
    (NEW, "none", {}, {"type": "disabled"}, None, 32000),
]


@pytest.mark.parametrize(("model", "effort", "params", "thinking", "config", "limit"), EFFORTS)
def test_effort_is_a_budget_or_a_level_depending_on_the_model(
    model, effort, params, thinking, config, limit
):
    sent = body("anthropic", model=model, reasoning_effort=effort, **params)
    assert sent["thinking"] == thinking
    assert sent.get("output_config") == ({"effort": config} if config else None)
    assert sent["max_tokens"] == limit


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-3-7-sonnet-20250219", 8192),
        ("claude-sonnet-4-20250514", 8192),
        ("claude-opus-4@20250514", 8192),
        ("claude-haiku-4-5-20251001", 8192),
        ("MiniMax-M2", 8192),
        ("claude-sonnet-4-6", 32000),
        ("claude-opus-4-10", 32000),
        ("claude-sonnet-5", 32000),
        ("claude-mythos-preview", 32000),
    ],
)
def test_max_tokens_has_a_default(model, limit):
    assert body("anthropic", model=model)["max_tokens"] == limit


REFUSED = {
    "n": {"n": 2},
    "seed": {"seed": 1},
    "logprobs": {"logprobs": True},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logit_bias": {"logit_bias": {"1": 1}},
    "modalities": {"modalities": ["audio"]},
    "json_object": {"response_format": {"type": "json_object"}},
    "service_tier": {"service_tier": "flex"},
    "metadata": {"metadata": {"job": "1"}},
    "search_context_size": {"web_search_options": {"search_context_size": "high"}},
    "allowed_tools": {**TOOLS, "tool_choice": {"type": "allowed_tools"}},
}


@pytest.mark.parametrize(("name", "params"), REFUSED.items(), ids=REFUSED)
def test_a_parameter_that_anthropic_lacks_is_an_error_unless_dropped(name, params):
    with pytest.raises(UnsupportedParamsError, match=f"Anthropic has no .*{name}.*drop_params"):
        asked("anthropic", **params)
    assert asked("anthropic", drop_params=True, **params)


@pytest.mark.parametrize(
    "params", [{"reasoning_effort": "huge"}, {"tool_choice": "maybe"}, {"tools": [{"custom": {}}]}]
)
def test_an_invalid_value_is_an_error(params):
    with pytest.raises(InvalidRequestError):
        asked("anthropic", drop_params=True, **params)


# What comes: recorded streams


@pytest.mark.parametrize(("data", "expect"), recordings("anthropic"))
def test_recorded_streams_are_read_as_expected(data, expect):
    call = streamed("anthropic", data)
    said, (wanted,) = message(call), expect["choices"]
    assert (said["content"] or "") == wanted["text"]
    assert (said.get("reasoning_content") or "") == wanted["reasoning"]
    calls = [
        {"index": i, "id": c["id"], **c["function"]}
        for i, c in enumerate(said.get("tool_calls", []))
    ]
    assert calls == wanted["tool_calls"]
    signatures = [len(block["signature"]) for block in said.get("thinking_blocks", [])]
    assert signatures == expect["thinking_signature_lengths"]
    whole = call.completion()
    reasons = {"end_turn": "stop", "tool_use": "tool_calls"}
    assert whole["choices"][0]["finish_reason"] == reasons[wanted["finish_reason"]]
    assert (whole["id"], whole["model"]) == (expect["top"]["id"], expect["top"]["model"])
    usage, counted = expect["usage"], whole["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert counted[name] == usage[name]
    for name in ("cached_tokens", "cache_creation_tokens"):
        assert counted["prompt_tokens_details"][name] == usage[name]
    for name, value in expect["usage_raw"].items():
        assert name in ("input_tokens", "output_tokens") or counted[name] == value


@pytest.mark.parametrize(("data", "expect"), recordings("anthropic"))
def test_neither_cuts_nor_comments_change_the_result(data, expect):
    completion = streamed("anthropic", data).completion()
    assert streamed("anthropic", data, step=1).completion() == completion
    assert streamed("anthropic", sprinkled(data)).completion() == completion
    assert streamed("anthropic", sprinkled(data), step=7).completion() == completion
    crlf = data.replace(b"\n", b"\r\n")
    assert streamed("vertex_anthropic", crlf, step=3).completion() == completion


@pytest.mark.parametrize(("data", "expect"), recordings("anthropic"))
def test_a_truncated_stream_is_an_error_with_the_partial_completion(data, expect):
    full = streamed("anthropic", data).completion()["choices"][0]["message"]
    for end in cuts(data):
        call = streamed("anthropic", data[:end])
        if b'"stop_reason":"' in data[:end]:  # only message_stop is missing
            assert call.error is None
            continue
        assert type(call.error) is StreamTruncatedError
        if end:
            said = call.error.partial["choices"][0]["message"]["content"] or ""
            assert (full["content"] or "").startswith(said)
            assert call.error.partial["usage"]["prompt_tokens"] == expect["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("data", "expect"), recordings("anthropic"))
def test_a_recorded_completion_is_sent_back_with_its_ids_and_signatures(data, expect):
    told = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: ")]
    signed = [e["delta"]["signature"] for e in told if "signature" in e.get("delta", {})]
    opened = [e["content_block"] for e in told if e["type"] == "content_block_start"]
    said = message(streamed("anthropic", data))
    back = turns(user("?"), said)[1]["content"]
    assert [block["signature"] for block in back if block["type"] == "thinking"] == signed
    calls = [block for block in opened if block["type"] == "tool_use"]
    assert [block for block in back if block["type"] == "tool_use"] == calls
    assert [block["type"] for block in back] == expect["block_types"][-len(back) :]


# What comes: block by block, streamed and not

SEARCH = [
    {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "x"},
    },
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://x.org",
                "title": "X",
                "encrypted_content": "enc",
                "page_age": None,
            }
        ],
    },
]
CITED = {
    "type": "web_search_result_location",
    "url": "https://x.org",
    "title": "X",
    "encrypted_index": "idx",
    "cited_text": "so it is",
}
PAGE = {"type": "page_location", "cited_text": "c", "document_index": 0, "document_title": "D"}
THOUGHT = {"type": "thinking", "thinking": "Hm, let me see.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"place": "Zürich", "n": [1]}}
EMPTY_CALL = {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3}

ANSWERS = {
    "text": [text("Hello, world.")],
    "thinking": [THOUGHT, text("Yes.")],
    "hidden thinking": [{**THOUGHT, "thinking": ""}, REDACTED, text("Yes.")],
    "calls": [THOUGHT, text("Let me."), CALL, EMPTY_CALL],
    "interleaved": [text("\n\n"), THOUGHT, text("One."), {**THOUGHT, "signature": "2"}, CALL],
    "search": [THOUGHT, *SEARCH, text("It is "), text("so", citations=[CITED]), text(".")],
    "document": [text("As told", citations=[PAGE, PAGE])],
    "called by code": [{**CALL, "caller": {"type": "code_execution_20260120", "tool_id": "s"}}],
    "unheard of": [{"type": "hologram", "shape": [1, 2]}, text("There.")],
    "nothing": [],
}
STOPS = {
    "end_turn": ("stop", {}),
    "max_tokens": ("length", {}),
    "stop_sequence": ("stop", {"stop_sequence": "END"}),
    "tool_use": ("tool_calls", {}),
    "pause_turn": ("pause_turn", {}),
    "refusal": ("content_filter", {"stop_details": {"type": "refusal", "category": "cyber"}}),
    "model_context_window_exceeded": ("length", {}),
    "compaction": ("compaction", {}),
}


def answer(content, stop="end_turn", **more):
    """Return a message as Anthropic sends it when it is not streamed."""
    nulls = {"stop_sequence": None, "stop_details": None, "container": None}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    usage = {**USAGE, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}}
    return {**head, "content": content, "stop_reason": stop, **nulls, "usage": usage, **more}


def pieces(value, size=4):
    return [value[at : at + size] for at in range(0, len(value), size)] or [""]


def deltas(block):
    """Return how the block opens when it is streamed, and the deltas that follow."""
    kind = block["type"]
    if kind == "text":
        cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations", [])]
        said = [{"type": "text_delta", "text": p} for p in pieces(block["text"])]
        return {"type": "text", "text": ""}, cited + said
    if kind == "thinking":
        thought = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*thought, signature]
    if kind in ("tool_use", "server_tool_use"):
        written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        parts = [{"type": "input_json_delta", "partial_json": p} for p in pieces(written)]
        return {**block, "input": {}}, parts
    return block, []


def events(whole):
    """Return the events that Anthropic sends for the message `whole` when it is streamed."""
    stops = ("stop_reason", "stop_sequence", "stop_details", "container")
    opening = {**whole, "content": [], **dict.fromkeys(stops)}
    opening["usage"] = {**USAGE, "output_tokens": 1}
    told = [{"type": "message_start", "message": opening}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        start, parts = deltas(block)
        place = {"index": index}
        told.append({"type": "content_block_start", **place, "content_block": start})
        told += [{"type": "content_block_delta", **place, "delta": part} for part in parts]
        told.append({"type": "content_block_stop", **place})
    usage = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}}
    ending = {name: whole[name] for name in stops}
    told.append({"type": "message_delta", "delta": ending, "usage": usage})
    return [*told, {"type": "message_stop"}]


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS)
def test_streamed_and_unstreamed_completions_are_equal(content):
    sent = answer(content, container={"id": "c"})
    call = streamed("anthropic", sse(*events(sent)))
    assert call.error is None
    assert call.completion() == whole("anthropic", sent).completion()
    decoded = wires.load("anthropic").decode_completion(orjson.loads(orjson.dumps(sent)))
    assert decoded == call.completion()
    assert decoded["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 7,
        "total_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_creation_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 4},
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert decoded["created"] is None


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("play", ["streamed", "whole", "stored"])
def test_a_completion_is_sent_back_unchanged(content, play):
    sent = answer(content)
    call = (
        whole("anthropic", sent) if play == "whole" else streamed("anthropic", sse(*events(sent)))
    )
    said = message(call)
    if play == "stored":
        said = json.loads(json.dumps(said))
    # White space alone is refused by the API that sent it.
    kept = [block for block in content if block["type"] != "text" or block["text"].strip()]
    reply = turns(user("?"), said, user("Go on."))
    if kept:
        back = {"role": "assistant", "content": kept}
        assert reply == [user([text("?")]), back, user([text("Go on.")])]
    else:
        assert reply == [user([text("?"), text("Go on.")])]


@pytest.mark.parametrize("edited", ["Less.", "It is so, and then some.", [text("Parts.")], None])
def test_an_edited_completion_is_sent_back_as_edited(edited):
    said = {**message(whole("anthropic", answer(ANSWERS["search"]))), "content": edited}
    wanted = [text(edited)] if isinstance(edited, str) else edited or []
    assert turns(user("?"), said)[1]["content"] == [THOUGHT, *wanted]


def test_the_completion_has_openai_s_fields():
    said = message(streamed("anthropic", sse(*events(answer(ANSWERS["calls"], "tool_use")))))
    assert said == {
        "role": "assistant",
        "content": "Let me.",
        "reasoning_content": "Hm, let me see.",
        "thinking_blocks": [THOUGHT],
        "tool_calls": [
            {
                "id": "toolu_1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"place": "Zürich", "n": [1]}'},
            },
            {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_citations_of_pages_are_annotations_and_what_cited_them_is_kept():
    said = message(streamed("anthropic", sse(*events(answer(ANSWERS["search"])))))
    place = {"start_index": 6, "end_index": 8}
    cited = {"url": "https://x.org", "title": "X", **place}
    assert said["annotations"] == [{"type": "url_citation", "url_citation": cited}]
    blocks = said["provider_specific_fields"]["anthropic_blocks"]
    assert blocks[1:3] == SEARCH
    assert blocks[4] == {"from": "content", "length": 2, "citations": [CITED]}
    assert said["content"] == "It is so."


def test_citations_without_an_address_are_kept_and_no_annotations():
    said = message(whole("anthropic", answer(ANSWERS["document"])))
    assert "annotations" not in said
    assert said["provider_specific_fields"]["anthropic_blocks"][0]["citations"] == [PAGE, PAGE]


@pytest.mark.parametrize(("theirs", "ours"), STOPS.items(), ids=STOPS)
def test_stop_reasons(theirs, ours):
    reason, kept = ours
    sent = answer([text("So")], theirs, **kept)
    for call in (streamed("anthropic", sse(*events(sent))), whole("anthropic", sent)):
        assert call.error is None
        choice = call.completion()["choices"][0]
        assert choice["finish_reason"] == reason
        fields = choice["message"].get("provider_specific_fields", {})
        assert kept.items() <= fields.items()
        if theirs not in ("end_turn", "max_tokens", "stop_sequence", "tool_use"):
            assert fields["stop_reason"] == theirs


def test_a_silent_tool_of_anthropics_counts_as_progress():
    call = streamed("anthropic", b"")
    decoder = wires.load("anthropic").new_decoder(call._request)
    counts = []
    for event in events(answer(SEARCH))[:6]:
        chunks = []
        decoder.decode(("", orjson.dumps(event)), chunks)
        counts.append(len(chunks))
    assert counts == [1, 0, 1, 1, 1, 1]  # message_start, ping, block_start, three deltas


def test_chunks_have_the_role_and_only_new_content():
    decoder = wires.load("anthropic").new_decoder(None)
    chunks = []
    for event in events(answer([text("Hello")])):
        decoder.decode((event["type"], orjson.dumps(event)), chunks)
    assert decoder.done
    assert {chunk["id"] for chunk in chunks} == {"msg_1"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": None},
        {"content": "Hell"},
        {"content": "o"},
        {"content": None},
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert stream_chunk_builder(chunks)["choices"][0]["message"]["content"] == "Hello"


def test_a_block_of_unknown_type_is_kept_whole():
    told = events(answer([{"type": "hologram", "caption": "A ", "shape": None}]))
    for delta in ({"caption": "gl"}, {"caption": "obe", "shape": [1]}, {"shape": None}):
        part = {"type": "hologram_delta", **delta}
        told.insert(-3, {"type": "content_block_delta", "index": 0, "delta": part})
    said = message(streamed("anthropic", sse(*told)))
    hologram = {"type": "hologram", "caption": "A globe", "shape": [1]}
    assert said["provider_specific_fields"] == {"anthropic_blocks": [hologram]}
    assert turns(user("?"), said)[1]["content"] == [hologram]


def test_the_input_of_a_tool_that_anthropic_runs_may_be_cut_off():
    told = events(answer(SEARCH[:1], "max_tokens"))
    del told[-4]  # the last piece of its input
    (block,) = message(streamed("anthropic", sse(*told)))["provider_specific_fields"][
        "anthropic_blocks"
    ]
    assert block["input"] == '{"query": "x'


def test_empty_pieces_change_nothing():
    told = events(answer([THOUGHT, text("Hi")]))
    unsigned = {"type": "signature_delta", "signature": ""}
    told.insert(4, {"type": "content_block_delta", "index": 0, "delta": unsigned})
    told.insert(-4, {"type": "content_block_delta", "index": 1, "delta": {"text": ""}})
    told.insert(-2, {"type": "content_block_stop", "index": 7})
    plain = whole("anthropic", answer([THOUGHT, text("Hi")])).completion()
    assert streamed("anthropic", sse(*told)).completion() == plain
    assert whole("anthropic", answer([text(""), THOUGHT, text("Hi")])).completion() == plain


def test_missing_counts_are_not_invented():
    sent = answer([text("Hi")])
    sent["usage"] = {"input_tokens": 3, "output_tokens": 4}
    counted = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert whole("anthropic", sent).completion()["usage"] == counted
    del sent["usage"]
    completion = whole("anthropic", sent).completion()
    assert (completion["usage"], completion["usage_source"]) == (None, "missing")


def test_a_block_without_a_start_is_text():
    told = events(answer([text("Hi")]))
    del told[2]
    assert message(streamed("anthropic", sse(*told)))["content"] == "Hi"


def test_events_of_unknown_type_are_skipped():
    told = events(answer([text("Hi")]))
    told[2:2] = [{"type": "hologram_start"}, {"type": "vertex_event"}]
    assert message(streamed("anthropic", sse(*told)))["content"] == "Hi"


# What comes: errors

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

IN_STREAM = {
    "overloaded_error": (ServiceUnavailableError, 529, True),
    "api_error": (InternalServerError, 500, True),
    "rate_limit_error": (RateLimitError, 429, True),
    "timeout_error": (Timeout, 504, True),
    "invalid_request_error": (BadRequestError, 400, False),
    "authentication_error": (AuthenticationError, 401, False),
    "permission_error": (PermissionDeniedError, 403, False),
    "not_found_error": (NotFoundError, 404, False),
    "request_too_large": (BadRequestError, 413, False),
    "billing_error": (BadRequestError, 402, False),
    "hologram_error": (InternalServerError, 500, True),
}


@pytest.mark.parametrize(("kind", "wanted"), IN_STREAM.items(), ids=IN_STREAM)
def test_an_error_event_inside_a_200(kind, wanted):
    told = events(answer([text("Hello")]))[:4]
    error = {"type": "error", "error": {"type": kind, "message": "no secret"}, "request_id": "r1"}
    call = streamed("anthropic", sse(*told, error))
    cls, status, retryable = wanted
    assert type(call.error) is cls
    assert (call.error.status_code, call.error.retryable) == (status, retryable)
    assert call.error.code == kind
    assert str(call.error) == "test/m: no [key] (request r1)"
    assert call.error.partial["choices"][0]["message"]["content"] == "Hell"
    assert call.error.partial["usage"]["prompt_tokens"] == 15
    assert pickle.loads(pickle.dumps(call.error)).partial == call.error.partial


def test_an_error_after_the_stop_reason_still_counts():
    told = events(answer([text("Hello")]))[:-1]
    assert type(streamed("anthropic", sse(*told, OVERLOADED)).error) is ServiceUnavailableError


def test_an_error_in_an_unstreamed_200():
    assert whole("anthropic", OVERLOADED).error.status_code == 529


@pytest.mark.parametrize("odd", [[], "text", {}, {"type": "message", "content": None}])
def test_a_response_of_another_shape_is_an_error(odd):
    assert type(whole("anthropic", odd).error) is APIResponseValidationError


def test_an_event_of_another_shape_is_an_error():
    assert type(streamed("anthropic", b"data: 17\n\n").error) is APIResponseValidationError
    assert type(streamed("anthropic", b"data: {oops\n\n").error) is APIResponseValidationError


def refusal(kind, said="m", **error):
    return {
        "type": "error",
        "error": {"type": kind, "message": said, **error},
        "request_id": "req_1",
    }


BODIES = {
    "bad request": (400, refusal("invalid_request_error"), BadRequestError, False),
    "fixed phrases are read": (
        400,
        refusal("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        ContextWindowExceededError,
        False,
    ),
    "no key": (401, refusal("authentication_error"), AuthenticationError, False),
    "no money": (402, refusal("billing_error"), BadRequestError, False),
    "not allowed": (403, refusal("permission_error"), PermissionDeniedError, False),
    "no such model": (404, refusal("not_found_error"), NotFoundError, False),
    "too large": (413, refusal("request_too_large"), BadRequestError, False),
    "too fast": (429, refusal("rate_limit_error"), RateLimitError, True),
    "spent": (
        429,
        refusal("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        RateLimitError,
        False,
    ),
    "broken": (500, refusal("api_error"), InternalServerError, True),
    "too slow": (504, refusal("timeout_error"), Timeout, True),
    "overloaded": (529, OVERLOADED, ServiceUnavailableError, True),
    "from Google": (
        429,
        [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}],
        RateLimitError,
        True,
    ),
    "in few words": (400, {"error": "nope"}, BadRequestError, False),
    "a list": (503, [], ServiceUnavailableError, True),
}


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("wire", ["anthropic", "vertex_anthropic"])
def test_error_bodies(case, wire):
    status, sent, cls, retryable = case
    headers = {"retry-after": "7", "request-id": "req_1"}
    error = wires.load(wire).decode_error(status, orjson.dumps(sent), headers)
    assert type(error) is cls
    assert (error.status_code, error.retryable, error.retry_after) == (status, retryable, 7.0)
    assert error.message.endswith("(request req_1)")


def test_an_error_page_is_quoted():
    error = wires.load("anthropic").decode_error(502, b"<html>\n<h1>Bad gateway</h1>", {})
    assert error.message == "HTTP 502: <html> <h1>Bad gateway</h1>"
    assert error.retryable
