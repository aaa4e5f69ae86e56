"""Gemini's generateContent, also on Vertex: requests and responses."""

from __future__ import annotations

import json
from base64 import b64encode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_replay import ASK, asked, body, cuts, message, recordings, sprinkled, streamed, whole
from replay import sse

from ritellm import wire as wires
from ritellm.errors import (
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
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
from ritellm.wire.framing.sse import SSE

OLD, NEW = "gemini-2.5-flash", "gemini-3-pro-preview"
ROOT = "https://generativelanguage.googleapis.com/v1beta"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
INLINE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def contents(*messages, **params):
    return body("gemini", list(messages), **{"model": OLD, **params})["contents"]


def user(content):
    return {"role": "user", "content": content}


# What is sent: the bytes


def test_a_plain_request_has_these_bytes():
    request = asked("gemini", model=OLD, base_url=ROOT, temperature=0.5)
    assert request.method == "POST"
    assert request.url == f"{ROOT}/models/gemini-2.5-flash:generateContent"
    assert request.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "x-goog-api-key": "secret",
    }
    assert request.content == (
        b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}],'
        b'"generationConfig":{"temperature":0.5}}'
    )


def test_the_address_requests_a_stream_and_usage_always_arrives():
    request = asked("gemini", model=OLD, stream=True, stream_options={"include_usage": True})
    assert request.url == "https://host/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert request.headers["accept"] == "text/event-stream"
    assert b"stream" not in request.content


ADDRESSES = [
    ("gemini", ROOT + "/", "models/x", False, f"{ROOT}/models/x:generateContent"),
    ("gemini", ROOT, "tunedModels/x", False, f"{ROOT}/tunedModels/x:generateContent"),
    (
        "gemini",
        "http://localhost:8080",
        "x",
        False,
        "http://localhost:8080/models/x:generateContent",
    ),
    ("gemini", f"{ROOT}/models/y:generateContent", "x", False, f"{ROOT}/models/y:generateContent"),
    (
        "gemini",
        f"{ROOT}/models/y:generateContent?via=proxy",
        "x",
        True,
        f"{ROOT}/models/y:streamGenerateContent?via=proxy&alt=sse",
    ),
    (
        "vertex_gemini",
        VERTEX,
        OLD,
        False,
        f"{VERTEX}/publishers/google/models/{OLD}:generateContent",
    ),
    (
        "vertex_gemini",
        VERTEX,
        OLD,
        True,
        f"{VERTEX}/publishers/google/models/{OLD}:streamGenerateContent?alt=sse",
    ),
    ("vertex_gemini", VERTEX, "endpoints/7", False, f"{VERTEX}/endpoints/7:generateContent"),
]


@pytest.mark.parametrize(("wire", "base_url", "model", "stream", "url"), ADDRESSES)
def test_addresses(wire, base_url, model, stream, url):
    assert asked(wire, base_url=base_url, model=model, stream=stream).url == url
    assert asked(wire, base_url=url, model=model, stream=stream).url == url


def test_vertex_takes_a_bearer_and_the_same_body():
    request = asked("vertex_gemini", base_url=VERTEX, model=OLD, temperature=1)
    assert request.headers["authorization"] == "Bearer secret"
    assert "x-goog-api-key" not in request.headers
    assert request.content == asked("gemini", model=OLD, temperature=1).content


def test_the_caller_s_own_headers_and_fields_come_last():
    request = asked(
        "gemini",
        max_tokens=5,
        extra_headers={"X-Goog-Api-Key": "mine"},
        extra_body={
            "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW", "maxOutputTokens": 6},
            "safetySettings": [{"category": "c", "threshold": "BLOCK_NONE"}],
        },
    )
    assert request.headers["x-goog-api-key"] == "mine"
    sent = orjson.loads(request.content)
    config = {"maxOutputTokens": 6, "mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert sent["generationConfig"] == config
    assert sent["safetySettings"] == [{"category": "c", "threshold": "BLOCK_NONE"}]


# What is sent: messages


def test_system_prompts_stand_apart():
    sent = body(
        "gemini",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            user("one"),
            {"role": "assistant", "content": "two", "reasoning_content": "Hm."},
            {"role": "assistant", "content": ""},
            user([{"type": "text", "text": "three"}]),
        ],
    )
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert sent["contents"] == [
        {"role": "user", "parts": [{"text": "one"}]},
        {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "two"}]},
        {"role": "user", "parts": [{"text": "three"}]},
    ]


def uri(address, media_type=None):
    known = {"mimeType": media_type} if media_type else {}
    return {"fileData": {**known, "fileUri": address}}


PARTS = {
    "data image": ({"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}, INLINE),
    "bare image": ({"type": "image_url", "image_url": PIXEL}, INLINE),
    "http image": (
        {"type": "image_url", "image_url": {"url": "https://x.org/a.JPG?s=1"}},
        uri("https://x.org/a.JPG?s=1", "image/jpeg"),
    ),
    "http image of a kind": (
        {"type": "image_url", "image_url": {"url": "https://x.org/a", "format": "image/webp"}},
        uri("https://x.org/a", "image/webp"),
    ),
    "video": (
        {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}},
        uri("https://youtu.be/x"),
    ),
    "pdf": (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
    ),
    "file by id": (
        {"type": "file", "file": {"file_id": "gs://b/a.pdf"}},
        uri("gs://b/a.pdf", "application/pdf"),
    ),
    "audio": (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
    ),
    "Gemini's own": (
        {"videoMetadata": {"fps": 1}, **INLINE},
        {"videoMetadata": {"fps": 1}, **INLINE},
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), PARTS.values(), ids=PARTS)
def test_parts(ours, theirs):
    sent = contents(user([{"type": "text", "text": "look"}, ours]))
    assert sent == [{"role": "user", "parts": [{"text": "look"}, theirs]}]


def called(id, name="f", arguments="{}", **more):
    return {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **more,
    }


def test_results_go_back_under_the_name_of_their_call_and_together():
    sent = contents(
        user("go"),
        {"role": "assistant", "tool_calls": [called("call_a", "f", '{"a": 1}'), called("7", "g")]},
        {"role": "tool", "tool_call_id": "7", "content": '{"temperature": 20}'},
        {
            "role": "tool",
            "tool_call_id": "call_a",
            "content": [
                {"type": "text", "text": "a cat"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
        user("and?"),
        {"role": "assistant", "tool_calls": [called("call_a", "h")]},
        {"role": "tool", "tool_call_id": "call_a", "content": "[1]"},
        {"role": "tool", "tool_call_id": "elsewhere", "name": "k", "content": ""},
    )
    # Gemini hears an id only if it gave it.
    seven = {"id": "7", "name": "g", "response": {"temperature": 20}}
    cat = {"name": "f", "response": {"output": "a cat"}, "parts": [INLINE]}
    elsewhere = {"id": "elsewhere", "name": "k", "response": {"output": ""}}
    assert sent == [
        {"role": "user", "parts": [{"text": "go"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "7", "name": "g", "args": {}}},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": seven}, {"functionResponse": cat}]},
        {"role": "user", "parts": [{"text": "and?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "h", "args": {}}}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "h", "response": {"output": "[1]"}}},
                {"functionResponse": elsewhere},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("model", "signed"), [(OLD, False), (NEW, True), ("gemini-flash-latest", True)]
)
def test_calls_of_another_model_are_marked_for_models_that_check_signatures(model, signed):
    calls = [called("1"), called("2")]
    parts = contents(user("go"), {"role": "assistant", "tool_calls": calls}, model=model)[1][
        "parts"
    ]
    marks = [part.get("thoughtSignature") for part in parts]
    assert marks == ["skip_thought_signature_validator" if signed else None, None]


def test_signed_calls_go_back_signed_and_others_beside_them_unsigned():
    calls = [called("1", provider_specific_fields={"thought_signature": "s"}), called("2")]
    parts = contents(user("go"), {"role": "assistant", "tool_calls": calls}, model=NEW)[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["s", None]


BAD_MESSAGES = {
    "role": ({"role": "function", "content": "x"}, "no role 'function'"),
    "part": (user([{"type": "hologram"}]), "'hologram'"),
    "unknown call": ({"role": "tool", "tool_call_id": "9", "content": "x"}, "'9'"),
    "empty file": (user([{"type": "file", "file": {}}]), "file_data"),
    "custom call": (
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {}}]},
        "custom",
    ),
}


@pytest.mark.parametrize(("bad", "said"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_an_unsupported_request_is_an_error_before_sending(bad, said):
    with pytest.raises(InvalidRequestError, match=said):
        contents(bad)


# What is sent: parameters

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
DECLARED = {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}
TOOLS = {"tools": [{"type": "function", "function": FUNCTION}]}
SENT = {"tools": [{"functionDeclarations": [DECLARED]}]}


def config(**fields):
    return {"generationConfig": fields}


def calling(mode, *names):
    allowed = {"allowedFunctionNames": list(names)} if names else {}
    return {**SENT, "toolConfig": {"functionCallingConfig": {"mode": mode, **allowed}}}


def named(name="f"):
    return {"type": "function", "function": {"name": name}}


PARAMS = {
    "sampling": (
        {"temperature": 0, "top_p": 0.9, "top_k": 5, "seed": 1},
        config(temperature=0, topP=0.9, topK=5, seed=1),
    ),
    "limit": ({"max_tokens": 7, "max_completion_tokens": 9}, config(maxOutputTokens=9)),
    "penalties": (
        {"frequency_penalty": 0.1, "presence_penalty": 0.2},
        config(frequencyPenalty=0.1, presencePenalty=0.2),
    ),
    "stop": ({"stop": "END"}, config(stopSequences=["END"])),
    "n": ({"n": 3}, config(candidateCount=3)),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, config(responseLogprobs=True, logprobs=2)),
    "object": (
        {"response_format": {"type": "json_object"}},
        config(responseMimeType="application/json"),
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}}},
        config(responseMimeType="application/json", responseJsonSchema={"a": 1}),
    ),
    "modalities": (
        {"modalities": ["text", "image"]},
        config(responseModalities=["TEXT", "IMAGE"]),
    ),
    "voice": (
        {"modalities": ["audio"], "audio": {"voice": "Kore", "format": "pcm16"}},
        config(
            responseModalities=["AUDIO"],
            speechConfig={"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        ),
    ),
    "tier": ({"service_tier": "flex"}, {"serviceTier": "flex"}),
    "default tier": ({"service_tier": "default"}, {"serviceTier": "standard"}),
    "tools": (TOOLS, SENT),
    "their own tool": ({"tools": [{"codeExecution": {}}]}, {"tools": [{"codeExecution": {}}]}),
    "search": ({"web_search_options": {}}, {"tools": [{"googleSearch": {}}]}),
    "choice auto": ({**TOOLS, "tool_choice": "auto"}, calling("AUTO")),
    "choice required": ({**TOOLS, "tool_choice": "required"}, calling("ANY")),
    "choice none": ({**TOOLS, "tool_choice": "none"}, calling("NONE")),
    "choice named": ({**TOOLS, "tool_choice": named()}, calling("ANY", "f")),
    "choice of some": (
        {
            **TOOLS,
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [named("f"), named("g")]},
            },
        },
        calling("VALIDATED", "f", "g"),
    ),
    "their own choice": (
        {**TOOLS, "tool_choice": {"functionCallingConfig": {"mode": "ANY"}}},
        calling("ANY"),
    ),
    "thinking as Anthropic says it": (
        {"thinking": {"type": "enabled", "budget_tokens": 99}},
        config(thinkingConfig={"thinkingBudget": 99, "includeThoughts": True}),
    ),
    "no thinking": (
        {"thinking": {"type": "disabled"}},
        config(thinkingConfig={"thinkingBudget": 0, "includeThoughts": False}),
    ),
    "thinking as Gemini says it": (
        {"thinking": {"thinkingBudget": -1}},
        config(thinkingConfig={"thinkingBudget": -1}),
    ),
    "what asks for nothing": (
        {"parallel_tool_calls": True, "service_tier": "auto", "store": False, "logprobs": False},
        {},
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), PARAMS.values(), ids=PARAMS)
def test_parameters(ours, theirs):
    sent = body("gemini", model=OLD, **ours)
    assert sent.pop("contents") == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert sent == theirs


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        (OLD, "none", {"thinkingBudget": 0, "includeThoughts": False}),
        (OLD, "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLD, "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        (NEW, "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-flash-latest", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
    ],
)
def test_effort_is_a_budget_or_a_level_depending_on_the_model(model, effort, thinking):
    sent = body("gemini", model=model, reasoning_effort=effort)
    assert sent["generationConfig"] == {"thinkingConfig": thinking}


REFUSED = {
    "parallel_tool_calls": {"parallel_tool_calls": False},
    "user": {"user": "u"},
    "logit_bias": {"logit_bias": {"1": 1}},
    "verbosity": {"verbosity": "low"},
    "reasoning_effort": {"reasoning_effort": "none", "model": NEW},
    "service_tier": {"service_tier": "scale"},
    "options for web search": {"web_search_options": {"user_location": {"type": "approximate"}}},
}


@pytest.mark.parametrize(("name", "params"), REFUSED.items(), ids=REFUSED)
def test_a_parameter_that_gemini_lacks_is_an_error_unless_dropped(name, params):
    with pytest.raises(UnsupportedParamsError, match=f"Gemini has no .*{name}.*drop_params"):
        asked("gemini", **params)
    assert asked("gemini", drop_params=True, **params)


@pytest.mark.parametrize(
    "params",
    [
        {"reasoning_effort": "huge", "model": OLD},
        {"tool_choice": "maybe"},
        {"tools": [{"type": "custom", "custom": {}}]},
    ],
)
def test_an_invalid_value_is_an_error(params):
    with pytest.raises(InvalidRequestError):
        asked("gemini", drop_params=True, **params)


# What comes: recorded streams


@pytest.mark.parametrize(("data", "expect"), recordings("gemini"))
def test_recorded_streams_are_read_as_expected(data, expect):
    call = streamed("gemini", data)
    said, (wanted,) = message(call), expect["choices"]
    assert (said["content"] or "") == wanted["text"]
    assert (said.get("reasoning_content") or "") == wanted["reasoning"]
    calls = [c["function"] for c in said.get("tool_calls", [])]
    assert calls == [{k: c[k] for k in ("name", "arguments")} for c in wanted["tool_calls"]]
    answer = call.completion()
    assert answer["choices"][0]["finish_reason"] == ("tool_calls" if calls else "stop")
    top = expect["top"]
    assert (answer["id"], answer["model"]) == (top["responseId"], top["modelVersion"])
    usage, counted = expect["usage"], answer["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert counted[name] == usage[name]
    reasoning = (counted.get("completion_tokens_details") or {}).get("reasoning_tokens")
    assert reasoning == usage["reasoning_tokens"]
    assert counted["promptTokensDetails"] == expect["usage_raw"]["promptTokensDetails"]


@pytest.mark.parametrize(("data", "expect"), recordings("gemini"))
def test_neither_cuts_nor_comments_change_the_result(data, expect):
    completion = streamed("gemini", data).completion()
    assert streamed("gemini", data, step=1).completion() == completion
    assert streamed("gemini", sprinkled(data)).completion() == completion
    assert streamed("gemini", sprinkled(data), step=7).completion() == completion
    lf = data.replace(b"\r\n", b"\n")
    assert streamed("vertex_gemini", lf, step=3).completion() == completion


@pytest.mark.parametrize(("data", "expect"), recordings("gemini"))
def test_a_truncated_stream_is_an_error_with_the_partial_completion(data, expect):
    full = message(streamed("gemini", data))
    for end in cuts(data):
        call = streamed("gemini", data[:end])
        assert type(call.error) is StreamTruncatedError
        if end:
            partial = call.error.partial
            assert (full["content"] or "").startswith(
                partial["choices"][0]["message"]["content"] or ""
            )
            assert partial["usage"]["prompt_tokens"] > 0
            assert partial["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(("data", "expect"), recordings("gemini"))
def test_a_recorded_completion_is_sent_back_unchanged(data, expect):
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line]
    sent = [p for e in events for p in e["candidates"][0]["content"]["parts"]]
    back = contents(user("?"), message(streamed("gemini", data)), model=NEW)[1]["parts"]
    assert back == joined(sent)


# What comes: part by part, streamed and not

SIGNATURE = "c2lnbmF0dXJl"


def joined(parts):
    """Return `parts` with neighbouring texts of one kind in one, as they are when not streamed."""
    whole = []
    for part in parts:
        if part == {"text": ""}:
            continue
        last = whole[-1] if whole else {}
        if part.keys() == last.keys() <= {"text", "thought"}:
            whole[-1] = {**part, "text": last["text"] + part["text"]}
        else:
            whole.append(part)
    return whole


def call_part(name="f", args=None, id=None, **more):
    given = {"id": id} if id else {}
    return {"functionCall": {**given, "name": name, "args": args or {}}, **more}


def thought(text, **more):
    return {"text": text, "thought": True, **more}


CODE = [
    {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
]
ANSWERS = {
    "text": [{"text": "Hello, world."}],
    "thoughts": [thought("Hm, let me see."), {"text": "Yes."}],
    "signed text": [thought("Hm."), {"text": "Yes.", "thoughtSignature": SIGNATURE}],
    "signed nothing": [{"text": "Yes."}, {"text": "", "thoughtSignature": SIGNATURE}],
    "calls": [
        {"text": "Let me."},
        call_part("f", {"place": "Zürich"}, thoughtSignature=SIGNATURE),
        call_part("g", id="a1b2"),
    ],
    "a text behind a call": [call_part(thoughtSignature="x"), {"text": "Waiting."}],
    "code": [{"text": "I run it."}, *CODE, {"text": "It says 1."}],
    "images": [{"text": "Here: "}, INLINE, {"text": " and "}, {**INLINE, "thoughtSignature": "y"}],
    "an image only": [INLINE],
    "a thought image": [{**INLINE, "thought": True}, {"text": "No."}],
    "unheard of": [{"hologram": {"shape": [1]}}, {"text": "There."}],
    "part metadata": [{"text": "So", "partMetadata": {"a": 1}}, {"text": "."}],
}
COUNTS = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "toolUsePromptTokenCount": 2,
    "cachedContentTokenCount": 4,
    "totalTokenCount": 24,
    "trafficType": "ON_DEMAND",
}


def answer(*candidates, **more):
    """Return an answer as Gemini sends it when it is not streamed."""
    head = {"modelVersion": "gemini-x", "responseId": "r1", "createTime": "2026-10-01T12:00:00.5Z"}
    return {"candidates": list(candidates), "usageMetadata": COUNTS, **head, **more}


def candidate(parts=(), reason="STOP", **more):
    said = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    return {**said, "finishReason": reason, **more}


def pieces(part, size=4):
    """Return `part` as it comes when it is streamed: text in pieces, and its signature last."""
    text = part.get("text", "")
    if not text or part.keys() - {"text", "thought"}:
        return [part]
    return [{**part, "text": text[at : at + size]} for at in range(0, len(text), size)]


def events(whole):
    """Return the events that Gemini sends for the answer `whole` when it is streamed."""
    told = []
    rest = {k: v for k, v in whole.items() if k != "candidates"}
    for index, each in enumerate(whole["candidates"]):
        parts = [p for part in (each.get("content") or {}).get("parts", []) for p in pieces(part)]
        place = {"index": index} if index else {}
        told += [
            {**rest, "candidates": [{"content": {"role": "model", "parts": [part]}, **place}]}
            for part in parts
        ]
        ending = {k: v for k, v in each.items() if k != "content"}
        told.append({**rest, "candidates": [{**ending, **place}]})
    return told


def crlf(*told):
    return sse(*told, newline="\r\n")


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
def test_streamed_and_unstreamed_completions_are_equal(parts):
    sent = answer(candidate(parts, safetyRatings=[{"category": "c"}]))
    call = streamed("gemini", crlf(*events(sent)))
    assert call.error is None
    assert call.completion() == whole("gemini", sent).completion()
    assert call.completion() == wires.load("vertex_gemini").decode_completion(sent)
    assert call.completion() == whole("gemini", events(sent)).completion()  # alt=sse got lost
    fields = call.completion()["choices"][0]["message"]["provider_specific_fields"]
    assert fields["safetyRatings"] == [{"category": "c"}]


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("play", ["streamed", "whole", "stored"])
def test_a_completion_is_sent_back_unchanged(parts, play):
    sent = answer(candidate(parts))
    call = whole("gemini", sent) if play == "whole" else streamed("gemini", crlf(*events(sent)))
    said = message(call)
    if play == "stored":
        said = json.loads(json.dumps(said))
    assert contents(user("?"), said)[1] == {"role": "model", "parts": parts}


def test_an_edited_completion_is_sent_back_as_edited():
    said = message(whole("gemini", answer(candidate(ANSWERS["code"]))))
    assert contents(user("?"), {**said, "content": "1."})[1]["parts"] == [{"text": "1."}]


def test_the_completion_has_openai_s_fields():
    call = whole("gemini", answer(candidate([thought("Hm."), *ANSWERS["calls"]])))
    assert call.completion() == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1790856000,
        "model": "gemini-x",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me.",
                    "reasoning_content": "Hm.",
                    "tool_calls": [
                        {
                            "id": "call_r1_0",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"place":"Zürich"}'},
                            "provider_specific_fields": {"thought_signature": SIGNATURE},
                        },
                        {
                            "id": "a1b2",
                            "type": "function",
                            "function": {"name": "g", "arguments": "{}"},
                        },
                    ],
                },
                "finish_reason": "tool_calls",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 12,
            "total_tokens": 24,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 7},
            "toolUsePromptTokenCount": 2,
            "trafficType": "ON_DEMAND",
        },
        "usage_source": "provider",
    }


def test_a_round_with_tools_goes_back_with_its_ids_and_signatures():
    said = message(streamed("gemini", crlf(*events(answer(candidate(ANSWERS["calls"]))))))
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in said["tool_calls"]
    ]
    sent = contents(user("?"), said, *results, model=NEW)
    assert sent[1]["parts"] == ANSWERS["calls"]
    responses = [part["functionResponse"] for part in sent[2]["parts"]]
    ok = {"output": "ok"}
    assert responses == [{"name": "f", "response": ok}, {"id": "a1b2", "name": "g", "response": ok}]


def test_images_are_data_urls_and_speech_is_joined():
    said = message(whole("gemini", answer(candidate(ANSWERS["images"]))))
    assert [image["image_url"]["url"] for image in said["images"]] == [PIXEL, PIXEL]
    spoken = [
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": b64encode(piece).decode()}}
        for piece in (b"one", b"two!", b"three")
    ]
    sent = answer(candidate(spoken))
    for call in (whole("gemini", sent), streamed("gemini", crlf(*events(sent)))):
        data = b64encode(b"onetwo!three").decode()
        assert message(call)["audio"] == {"data": data, "mime_type": "audio/L16;rate=24000"}


def test_alternatives_are_choices_of_their_own():
    parts = [[{"text": "One."}], [call_part("f")], [{"text": "Three"}]]
    reasons = ["STOP", "STOP", "MAX_TOKENS"]
    places = [{}, {"index": 1}, {"index": 2}]
    sent = answer(*map(lambda p, r, i: candidate(p, r, **i), parts, reasons, places))
    unstreamed = whole("gemini", sent, n=3).completion()
    call = streamed("gemini", crlf(*events(sent)), n=3)
    assert call.completion() == unstreamed
    assert [c["finish_reason"] for c in unstreamed["choices"]] == ["stop", "tool_calls", "length"]
    assert [c["message"]["content"] for c in unstreamed["choices"]] == ["One.", None, "Three"]
    assert unstreamed["choices"][1]["message"]["tool_calls"][0]["id"] == "call_r1_1_0"
    cut = streamed("gemini", crlf(*events(sent)[:-1]), n=3)
    assert type(cut.error) is StreamTruncatedError


def test_ids_are_invented_the_same_way_without_a_response_id():
    sent = answer(candidate([call_part("f"), call_part("f")]))
    del sent["responseId"]
    calls = message(whole("gemini", sent))["tool_calls"]
    assert [call["id"] for call in calls] == ["call_0", "call_1"]


def test_logprobs():
    token = {"token": "Hi", "logProbability": -0.5, "tokenId": 3}
    top = {"candidates": [token, {"token": "Ho", "logProbability": -1.5}]}
    result = {"chosenCandidates": [token, {"token": "!"}], "topCandidates": [top]}
    sent = answer(candidate([{"text": "Hi!"}], logprobsResult=result, avgLogprobs=-0.25))
    for call in (whole("gemini", sent), streamed("gemini", crlf(sent))):
        choice = call.completion()["choices"][0]
        first = {"token": "Hi", "logprob": -0.5, "bytes": None}
        other = {"token": "Ho", "logprob": -1.5, "bytes": None}
        second = {"token": "!", "logprob": 0.0, "bytes": None}
        assert choice["logprobs"] == {
            "content": [{**first, "top_logprobs": [first, other]}, {**second, "top_logprobs": []}],
            "refusal": None,
        }
        assert choice["message"]["provider_specific_fields"] == {"avgLogprobs": -0.25}


def note(url, title, start=None, end=None):
    place = {} if start is None else {"start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": {"url": url, "title": title, **place}}


def test_grounds_are_annotations_counted_in_characters():
    said = "Ünïted. Paris is in France."
    grounds = {
        "webSearchQueries": ["q"],
        "groundingChunks": [{"web": {"uri": "https://a.org", "title": "a"}}, {"maps": {}}],
        "groundingSupports": [
            {  # in bytes: each of the two letters takes two
                "segment": {"startIndex": 10, "endIndex": 29, "text": "Paris is in France."},
                "groundingChunkIndices": [0, 1, 9],
            },
            {
                "segment": {"startIndex": 3, "endIndex": 8, "text": "Paris"},
                "groundingChunkIndices": [0],
            },
            {"segment": {"text": "not said"}, "groundingChunkIndices": [0]},
        ],
    }
    sent = answer(candidate([{"text": said}], groundingMetadata=grounds))
    for call in (whole("gemini", sent), streamed("gemini", crlf(*events(sent)))):
        assert message(call)["annotations"] == [
            note("https://a.org", "a", 8, 27),
            note("https://a.org", "a", 8, 13),
            note("https://a.org", "a"),
        ]
        assert message(call)["provider_specific_fields"] == {"groundingMetadata": grounds}


def test_each_quoted_source_is_one_annotation():
    first = {"startIndex": 0, "endIndex": 4, "uri": "https://a.org"}
    second = {"startIndex": 5, "endIndex": 9, "uri": "https://b.org", "title": "b"}
    told = [
        answer(
            {
                **candidate([{"text": "abcd"}], None),
                "citationMetadata": {"citationSources": [first]},
            }
        ),
        answer(candidate([{"text": " efgh"}], citationMetadata={"citations": [first, second, {}]})),
    ]
    assert message(streamed("gemini", crlf(*told)))["annotations"] == [
        note("https://a.org", None, 0, 4),
        note("https://b.org", "b", 5, 9),
    ]


# What comes: arguments piece by piece (Vertex)


def partial(path, value=None, key="stringValue", goes_on=False):
    more = {"willContinue": True} if goes_on else {}
    return {"jsonPath": path, key: value, **more}


def partial_call(*args, goes_on=True, **fields):
    more = {"willContinue": True} if goes_on else {}
    given = {"partialArgs": list(args)} if args else {}
    return {"functionCall": {**fields, **given, **more}}


def test_arguments_that_come_in_pieces_are_put_together():
    parts = [
        {**partial_call(name="f", id="a1"), "thoughtSignature": SIGNATURE},
        partial_call(partial("$.place", "Zü", goes_on=True)),
        partial_call(partial("$.place", "rich")),
        partial_call(partial("$.days[1]['rain.mm']", 0.5, "numberValue")),
        partial_call(
            partial("$.days[0].sun", True, "boolValue"), partial("$.x", "NULL_VALUE", "nullValue")
        ),
        partial_call({"jsonPath": "$.place"}, goes_on=False),
        partial_call(partial("$.a", "1"), name="g", goes_on=False),
        partial_call(partial("$.b", "2"), name="h"),
        call_part("k"),
    ]
    told = [answer({"content": {"parts": [part]}}) for part in parts]
    call = streamed("vertex_gemini", crlf(*told, answer(candidate())))
    said = message(call)
    args = {"place": "Zürich", "days": [{"sun": True}, {"rain.mm": 0.5}], "x": None}
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in said["tool_calls"]
    ]
    assert calls == [
        ("a1", "f", args),
        ("call_r1_1", "g", {"a": "1"}),
        ("call_r1_2", "h", {"b": "2"}),
        ("call_r1_3", "k", {}),
    ]
    back = contents(user("?"), said)[1]["parts"]
    assert back[0] == {
        "functionCall": {"id": "a1", "name": "f", "args": args},
        "thoughtSignature": SIGNATURE,
    }


def test_a_call_left_open_is_closed_by_the_finish():
    told = [answer({"content": {"parts": [partial_call(partial("$.a", "1"), name="f")]}})]
    said = message(streamed("vertex_gemini", crlf(*told, answer(candidate()))))
    assert said["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":"1"}'}


# What comes: how it ends

FILTERED = (
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY"
    " IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION ESCALATION".split()
)
REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(FILTERED, "content_filter"),
    **{word: word for word in "OTHER LANGUAGE NO_IMAGE IMAGE_OTHER NEWS_TO_US".split()},
}


@pytest.mark.parametrize(("theirs", "ours"), REASONS.items(), ids=REASONS)
def test_finish_reasons(theirs, ours):
    kept = {"finishMessage": "m", "safetyRatings": [{"category": "c", "blocked": True}]}
    for parts in ([{"text": "So"}], []):
        sent = answer(candidate(parts, theirs, **kept))
        for call in (streamed("gemini", crlf(*events(sent))), whole("gemini", sent)):
            assert call.error is None
            choice = call.completion()["choices"][0]
            assert choice["finish_reason"] == ours
            fields = choice["message"]["provider_specific_fields"]
            assert kept.items() <= fields.items()
            assert fields.get("finishReason", "STOP") in (theirs, "STOP")


@pytest.mark.parametrize("n", [1, 2])
def test_a_blocked_prompt_has_a_completion_with_content_filter(n):
    feedback = {"blockReason": "SAFETY", "safetyRatings": [{"category": "c"}]}
    sent = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}, "responseId": "r"}
    for call in (streamed("gemini", crlf(sent), n=n), whole("gemini", sent, n=n)):
        assert call.error is None
        assert call.complete
        choice = call.completion()["choices"][0]
        assert choice["finish_reason"] == "content_filter"
        assert choice["message"]["content"] is None
        assert choice["message"]["provider_specific_fields"] == {"promptFeedback": feedback}
        assert call.completion()["usage"]["prompt_tokens"] == 4


BROKEN = {
    "MALFORMED_FUNCTION_CALL": (APIResponseValidationError, True),
    "UNEXPECTED_TOOL_CALL": (APIResponseValidationError, True),
    "MALFORMED_RESPONSE": (APIResponseValidationError, True),
    "TOO_MANY_TOOL_CALLS": (BadRequestError, False),
    "MISSING_THOUGHT_SIGNATURE": (BadRequestError, False),
}


@pytest.mark.parametrize(("reason", "wanted"), BROKEN.items(), ids=BROKEN)
def test_a_malformed_call_is_an_error_and_not_a_silent_stop(reason, wanted):
    sent = answer(candidate([{"text": "Let me"}], reason, finishMessage="call:f{"))
    for call in (streamed("gemini", crlf(*events(sent))), whole("gemini", sent)):
        assert (type(call.error), call.error.retryable) == wanted
        assert call.error.code == reason
        assert f"{reason}: call:f{{" in str(call.error)
    partial = streamed("gemini", crlf(*events(sent))).error.partial
    assert partial["choices"][0]["message"]["content"] == "Let me"
    assert partial["choices"][0]["finish_reason"] is None
    assert partial["usage"]["total_tokens"] == 24


def test_usage_alone_is_not_a_completion():
    told = {"usageMetadata": COUNTS, "modelVersion": "gemini-x"}
    assert type(streamed("gemini", crlf(told)).error) is StreamTruncatedError
    assert type(whole("gemini", told).error) is APIResponseValidationError


def test_parts_with_nothing_in_them_change_nothing():
    parts = [{}, {"text": ""}, {"text": "Hi"}, {"text": "", "thought": True}]
    said = message(whole("gemini", answer(candidate(parts, groundingMetadata={"x": 1}))))
    kept = {"groundingMetadata": {"x": 1}}
    assert said == {"role": "assistant", "content": "Hi", "provider_specific_fields": kept}


def test_an_invalid_time_does_not_fail_the_completion():
    call = whole("gemini", answer(candidate([{"text": "Hi"}]), createTime="yesterday"))
    assert message(call)["content"] == "Hi"
    assert call.completion()["created"] is None


def test_usage_may_arrive_after_the_finish():
    first, last = answer(candidate([{"text": "Hi"}])), answer()
    del first["usageMetadata"], last["candidates"]
    completion = streamed("gemini", crlf(first, last)).completion()
    assert completion["usage"]["total_tokens"] == 24


# What comes: errors

UNAVAILABLE = {"error": {"code": 503, "message": "no secret", "status": "UNAVAILABLE"}}
BEGUN = [answer({"content": {"parts": [{"text": "Hello"}]}})]


@pytest.mark.parametrize("error", [UNAVAILABLE, [UNAVAILABLE]])
@pytest.mark.parametrize("step", [0, 1, 5])
@pytest.mark.parametrize("framed", [True, False])
def test_an_error_inside_a_200(error, step, framed):
    data = crlf(error) if framed else json.dumps(error, indent=1).encode()
    call = streamed("gemini", crlf(*BEGUN) + data, step)
    assert type(call.error) is ServiceUnavailableError
    assert (call.error.status_code, call.error.retryable) == (503, True)
    assert str(call.error) == "test/m: no [key]"
    assert call.error.partial["choices"][0]["message"]["content"] == "Hello"
    only = streamed("gemini", data, step)
    assert type(only.error) is ServiceUnavailableError


def test_half_an_error_is_a_truncated_stream():
    data = crlf(*BEGUN) + json.dumps(UNAVAILABLE, indent=1).encode()[:20]
    assert type(streamed("gemini", data).error) is StreamTruncatedError


@given(st.data())
def test_bare_errors_are_found_wherever_the_bytes_are_cut(data):
    stream = crlf(*BEGUN, *BEGUN) + json.dumps(UNAVAILABLE, indent=1).encode()
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framing, found = SSE(), []
    for begin, end in zip([0, *at], [*at, len(stream)], strict=True):
        found += framing.feed(stream[begin:end])
    found += framing.eof()
    assert [orjson.loads(data) for _, data in found] == [*BEGUN, *BEGUN, UNAVAILABLE]


def test_an_error_in_an_unstreamed_200():
    assert type(whole("gemini", [UNAVAILABLE]).error) is ServiceUnavailableError


@pytest.mark.parametrize("odd", [{}, [], "text", [1, 2]])
def test_a_response_of_another_shape_is_an_error(odd):
    assert type(whole("gemini", odd).error) is APIResponseValidationError


def test_an_event_of_another_shape_is_an_error():
    assert type(streamed("gemini", b"data: 17\n\n").error) is APIResponseValidationError
    assert type(streamed("gemini", b"data: {oops\n\n").error) is APIResponseValidationError


def info(kind, **fields):
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


QUOTA = "GenerateRequestsPer{}PerProjectPerModel-FreeTier"
BODIES = {
    "bad request": (400, "INVALID_ARGUMENT", [], BadRequestError, False, None),
    "precondition": (400, "FAILED_PRECONDITION", [], BadRequestError, False, None),
    "wrong key": (
        400,
        "INVALID_ARGUMENT",
        [info("ErrorInfo", reason="API_KEY_INVALID")],
        AuthenticationError,
        False,
        None,
    ),
    "no key": (401, "UNAUTHENTICATED", [], AuthenticationError, False, None),
    "not allowed": (403, "PERMISSION_DENIED", [], PermissionDeniedError, False, None),
    "no such model": (404, "NOT_FOUND", [], NotFoundError, False, None),
    "too fast": (
        429,
        "RESOURCE_EXHAUSTED",
        [info("RetryInfo", retryDelay="12.5s"), info("Help", links=[])],
        RateLimitError,
        True,
        12.5,
    ),
    "too fast this minute": (
        429,
        "RESOURCE_EXHAUSTED",
        [info("QuotaFailure", violations=[{"quotaId": QUOTA.format("Minute")}])],
        RateLimitError,
        True,
        None,
    ),
    "spent for today": (
        429,
        "RESOURCE_EXHAUSTED",
        [
            info("QuotaFailure", violations=[{"quotaId": QUOTA.format("Day")}]),
            info("RetryInfo", retryDelay="soon"),
        ],
        RateLimitError,
        False,
        None,
    ),
    "broken": (500, "INTERNAL", [], InternalServerError, True, None),
    "down": (503, "UNAVAILABLE", [], ServiceUnavailableError, True, None),
    "too slow": (504, "DEADLINE_EXCEEDED", [], Timeout, True, None),
}


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("wire", ["gemini", "vertex_gemini"])
def test_error_bodies(case, listed, wire):
    status, word, details, cls, retryable, wait = case
    sent = {"error": {"code": status, "message": "m", "status": word, "details": details}}
    error = wires.load(wire).decode_error(status, orjson.dumps([sent] if listed else sent), {})
    assert type(error) is cls
    assert error.message == "m"
    assert (error.status_code, error.retryable, error.retry_after) == (status, retryable, wait)
    if not details or cls is RateLimitError:
        assert error.code == word
    inside = streamed("gemini", crlf(sent)).error
    assert (type(inside), inside.status_code) == (cls, status)


def test_a_retry_after_header_overrides_the_body():
    sent = {"error": {"code": 429, "details": [info("RetryInfo", retryDelay="12s")]}}
    decode = wires.load("gemini").decode_error
    assert decode(429, orjson.dumps(sent), {"retry-after": "3"}).retry_after == 3.0


def test_building_a_request_does_not_change_it():
    before = json.dumps(ASK)
    asked("gemini", ASK)
    assert json.dumps(ASK) == before
