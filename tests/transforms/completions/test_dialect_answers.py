"""Answers of providers that refuse keywords of a schema, drop them, or call a tool."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import api_error, sse, stream

pytest.importorskip("jsonschema_rs")

from ritellm import Answer
from transforms import CompletePrompts, Prompt

SCHEMA = {
    "$defs": {"Tag": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"}},
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 2},
    },
    "required": ["label", "tags"],
    "additionalProperties": False,
}
GOOD, MANY = '{"label": "good", "tags": ["a"]}', '{"label": "good", "tags": ["a", "b", "c"]}'
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
REFUSED = (b"maxItems", b"minLength", b"pattern", b"$ref", b"$defs")


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("GEMINI_API_KEY", "k")


def outcome(server, model, **options):
    """Return the answers and errors of one prompt, as a check inside the pipeline."""
    answer = Answer(SCHEMA, **options)
    p = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    prompts = p | beam.Create([Prompt.of_text("good or bad?", "a")])
    done = prompts | CompletePrompts(model, base_url=server.base_url, answer=answer)
    answers = done.completions | beam.Map(lambda row: (row.answer, row.attempts))
    letters = done.dead_letters | beam.Map(lambda letter: (letter.error_type, letter.partial_text))
    return p, answers, letters


def claude(block, deltas, stop="end_turn"):
    """Return a message of Claude with one block, as a stream."""
    usage = {"input_tokens": 5, "output_tokens": 1}
    begun = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": []}
    events = [
        {"type": "message_start", "message": {**begun, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return stream(*(sse(event, event=event["type"]) for event in events))


def said(text):
    deltas = [{"type": "text_delta", "text": char} for char in text]
    return claude({"type": "text", "text": ""}, deltas)


def called(arguments):
    block = {"type": "tool_use", "id": "t1", "name": "answer", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": char} for char in arguments]
    return claude(block, deltas, "tool_use")


def test_a_provider_that_refuses_keywords_is_not_sent_them_and_they_are_checked_here(fake_server):
    replies = [said(MANY), said(GOOD)]

    def script(request):
        schema = repr(request.json["output_config"]["format"]["schema"]["properties"]).encode()
        names = schema.replace(b"'description'", b"").split(b"'")[1::2]
        if refused := [name for name in REFUSED if name in names]:
            return api_error(400, message=f"unsupported keyword {refused[0]!r}")
        return replies.pop(0)

    fake_server.script = script
    p, answers, letters = outcome(fake_server, "anthropic/claude-sonnet-4-5")
    assert_that(answers, equal_to([({"label": "good", "tags": ["a"]}, 2)]), "Answers")
    assert_that(letters, equal_to([]), "Letters")
    p.run().wait_until_finish()
    complaint = fake_server.requests[1].json["messages"][-1]["content"][0]["text"]
    assert "$.tags (maxItems)" in complaint


def test_a_model_that_must_call_a_tool_gets_its_faults_as_the_result_of_the_call(fake_server):
    fake_server.enqueue(called(MANY), called(GOOD))
    p, answers, _ = outcome(fake_server, "anthropic/claude-3-5-haiku-latest")
    assert_that(answers, equal_to([({"label": "good", "tags": ["a"]}, 2)]))
    p.run().wait_until_finish()
    first, second = (request.json for request in fake_server.requests)
    assert first["tool_choice"] == {"type": "tool", "name": "answer"}
    assert second["tool_choice"] == first["tool_choice"]
    call, result = (message["content"][0] for message in second["messages"][-2:])
    assert (call["type"], call["input"]) == ("tool_use", {"label": "good", "tags": ["a", "b", "c"]})
    assert (result["type"], result["tool_use_id"]) == ("tool_result", call["id"])
    assert "$.tags (maxItems)" in repr(result["content"])


@pytest.mark.parametrize(
    "broken", ['{"label": "good",}', '{"label": "ugly", "tags": []}', GOOD[:-1]]
)
def test_a_call_that_cannot_be_sent_back_or_was_stopped_becomes_a_text(fake_server, broken):
    fake_server.enqueue(called(broken), called(GOOD))
    p, answers, _ = outcome(fake_server, "anthropic/claude-3-5-haiku-latest")
    assert_that(answers, equal_to([({"label": "good", "tags": ["a"]}, 2)]))
    p.run().wait_until_finish()


def test_the_last_arguments_of_a_tool_are_the_text_of_the_dead_letter(fake_server):
    fake_server.enqueue(called(MANY))
    p, _, letters = outcome(fake_server, "anthropic/claude-3-5-haiku-latest", reasks=0)
    assert_that(letters, equal_to([("AnswerInvalid", MANY)]))
    p.run().wait_until_finish()


def gemini(text):
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 4, "candidatesTokenCount": 9, "totalTokenCount": 13}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return stream(sse({"candidates": [candidate], "usageMetadata": usage}))


def test_a_provider_that_drops_keywords_is_asked_again_for_what_it_dropped(fake_server):
    fake_server.enqueue(gemini(MANY), gemini('{"label": "bad", "tags": ["A"]}'), gemini(GOOD))
    p, answers, _ = outcome(fake_server, "gemini/gemini-2.5-flash")
    assert_that(answers, equal_to([({"label": "good", "tags": ["a"]}, 3)]))
    p.run().wait_until_finish()
    complaints = [r.json["contents"][-1]["parts"][0]["text"] for r in fake_server.requests[1:]]
    assert "$.tags (maxItems)" in complaints[0]
    assert "$.tags[0] (pattern)" in complaints[1]


def test_a_refusal_of_claude_is_not_asked_again(fake_server):
    fake_server.enqueue(claude({"type": "text", "text": ""}, [], "refusal"))
    p, _, letters = outcome(fake_server, "anthropic/claude-sonnet-4-5")
    assert_that(letters, equal_to([("AnswerRefused", "")]))
    p.run().wait_until_finish()
    assert len(fake_server.requests) == 1
