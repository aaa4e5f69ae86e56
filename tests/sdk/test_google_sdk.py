"""An independent check: Google's own package reads the same bytes, and asks in the same ones."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from provider_replay import asked, message, recordings, streamed
from test_gemini import (
    ANSWERS,
    NEW,
    REASONS,
    UNAVAILABLE,
    answer,
    body,
    candidate,
    contents,
    crlf,
    events,
    user,
)

genai = pytest.importorskip("google.genai", reason="Google's package is not installed")
httpx = pytest.importorskip("httpx2", reason="a version of Google's package before httpx2")
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of themselves


def client(reply, seen=None, **options):
    """Return their client, to which the server answers `reply` whatever it asks."""

    def serve(request):
        if seen is not None:
            seen.append(request)
        kind = "text/event-stream" if isinstance(reply, bytes) else "application/json"
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return httpx.Response(200, headers={"content-type": kind}, content=data)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    where = options or {"api_key": "secret"}
    return genai.Client(http_options=genai.types.HttpOptions(httpx_client=http), **where)


def read_by_them(data):
    """Return the answers that their client makes of a stream, one per event."""
    return list(client(data).models.generate_content_stream(model="m", contents="hi"))


def agree(data):
    """Check that both read the same from `data`."""
    theirs, call = read_by_them(data), streamed("gemini", data)
    ours, whole = message(call), call.completion()
    found = [each.candidates[0] for each in theirs if each.candidates]
    parts = [p for each in found if each.content for p in each.content.parts or ()]
    said = [part for part in parts if part.text]
    assert (ours["content"] or "") == "".join(part.text for part in said if not part.thought)
    thoughts = "".join(part.text for part in said if part.thought)
    assert (ours.get("reasoning_content") or "") == thoughts
    calls = [
        (c["function"]["name"], c["function"]["arguments"]) for c in ours.get("tool_calls", [])
    ]
    made = [(part.function_call, part.thought_signature) for part in parts if part.function_call]
    assert [(n, json.loads(a)) for n, a in calls] == [(c.name, c.args or {}) for c, _ in made]
    kept = [c.get("provider_specific_fields", {}) for c in ours.get("tool_calls", [])]
    assert [each.get("thought_signature") for each in kept] == [
        b64encode(signature).decode() if signature else None for _, signature in made
    ]
    usage, counted = theirs[-1].usage_metadata, whole["usage"]
    thinking, tools = usage.thoughts_token_count or 0, usage.tool_use_prompt_token_count or 0
    assert counted["prompt_tokens"] == usage.prompt_token_count + tools
    assert counted["completion_tokens"] == usage.candidates_token_count + thinking
    assert counted["total_tokens"] == usage.total_token_count
    assert (whole["id"], whole["model"]) == (theirs[-1].response_id, theirs[-1].model_version)


@pytest.mark.parametrize(("data", "expect"), recordings("gemini"))
def test_recorded_streams(data, expect):
    agree(data)


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - {"unheard of"}))
def test_parts(name):
    parts = json.loads(json.dumps(ANSWERS[name]).replace('"x"', '"eA=="').replace('"y"', '"eQ=="'))
    agree(crlf(*events(answer(candidate(parts)))))


def test_why_it_finished_is_one_of_their_words():
    for word in REASONS.keys() - {"NEWS_TO_US"}:
        (read,) = read_by_them(crlf(answer(candidate([{"text": "So"}], word))))
        assert read.candidates[0].finish_reason == genai.types.FinishReason[word]


def test_an_error_event_has_the_same_status():
    data = crlf(UNAVAILABLE)
    with pytest.raises(genai.errors.APIError) as caught:
        read_by_them(data)
    ours = streamed("gemini", data).error
    assert (caught.value.code, caught.value.status) == (ours.status_code, ours.code)


def without_case(value):
    """Return `value` in one spelling: the API takes names and the words of enums in several."""
    return json.loads(json.dumps(value).lower().replace("_", ""))


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CONFIG = {
    "system_instruction": "Be brief.",
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "max_output_tokens": 9,
    "candidate_count": 2,
    "seed": 1,
    "stop_sequences": ["END"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "response_logprobs": True,
    "logprobs": 3,
    "response_mime_type": "application/json",
    "response_json_schema": SCHEMA,
    "thinking_config": {"thinking_level": "low", "include_thoughts": True},
    "service_tier": "flex",
    "tools": [
        {
            "function_declarations": [
                {"name": "f", "description": "d", "parameters_json_schema": SCHEMA}
            ]
        }
    ],
    "tool_config": {
        "function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]},
    },
}
PARAMS = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "max_tokens": 9,
    "n": 2,
    "seed": 1,
    "stop": ["END"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logprobs": True,
    "top_logprobs": 3,
    "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
    "reasoning_effort": "low",
    "service_tier": "flex",
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
}


def test_both_ask_in_the_same_words():
    seen = []
    client(answer(candidate()), seen).models.generate_content(
        model=NEW, contents="hi", config=CONFIG
    )
    theirs = json.loads(seen[0].content)
    theirs["systemInstruction"].pop("role", None)
    ours = body(
        "gemini", [{"role": "system", "content": "Be brief."}, user("hi")], model=NEW, **PARAMS
    )
    assert without_case(ours) == without_case(theirs)
    root = "https://generativelanguage.googleapis.com/v1beta"
    request = asked("gemini", model=NEW, base_url=root)
    assert request.url == str(seen[0].url).replace("/v1/", "/v1beta/")
    assert request.headers["x-goog-api-key"] == seen[0].headers["x-goog-api-key"]


@pytest.mark.parametrize("name", ["calls", "code", "signed text", "thoughts", "an image only"])
def test_an_answer_goes_back_as_they_send_it_back(name):
    parts = ANSWERS[name]
    data, seen = crlf(*events(answer(candidate(parts)))), []
    chat = client(answer(candidate(parts)), seen).chats.create(model=NEW)
    chat.send_message("?")
    chat.send_message("Go on.")
    ours = contents(user("?"), message(streamed("gemini", data)), user("Go on."), model=NEW)
    theirs = json.loads(seen[1].content)["contents"]
    assert without_case(theirs) == without_case(ours)


@pytest.mark.parametrize("stream", [True, False])
def test_both_find_vertex(stream):
    credentials = pytest.importorskip("google.oauth2.credentials").Credentials(token="secret")
    seen = []
    where = {"project": "p", "location": "us-central1", "credentials": credentials}
    theirs = client(
        crlf(answer(candidate())) if stream else answer(candidate()), seen, vertexai=True, **where
    )
    if stream:
        list(theirs.models.generate_content_stream(model=NEW, contents="hi"))
    else:
        theirs.models.generate_content(model=NEW, contents="hi")
    root = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
    request = asked("vertex_gemini", base_url=root, model=NEW, stream=stream)
    assert request.url == str(seen[0].url).replace("/v1beta1/", "/v1/")
    assert request.headers["authorization"] == seen[0].headers["authorization"]
    assert json.loads(request.content)["contents"] == json.loads(seen[0].content)["contents"]
