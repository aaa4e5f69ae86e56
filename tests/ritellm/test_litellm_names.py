"""litellm's modules and names that programs import: what they give here."""

from __future__ import annotations

import pytest
from fake_server import ToolCall, chat_stream

import ritellm as litellm
from ritellm.types.utils import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    ChatCompletionUserMessage,
    Choices,
    Delta,
    Function,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def _an_openai_at_hand(fake_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def ask(**arguments):
    return litellm.completion(MODEL, MESSAGES, **{"num_retries": 0} | arguments)


CALLS = chat_stream("", tool_calls=[ToolCall("a", "f", ['{"x"', ":1}"])])


# ritellm.types.utils


def test_the_parts_of_a_completion_have_litellms_classes(fake_server):
    fake_server.enqueue(CALLS)
    answer = ask(stream=True).read()
    choice = answer.choices[0]
    (call,) = choice.message.tool_calls
    kinds = {
        ModelResponse: answer,
        Choices: choice,
        Message: choice.message,
        ChatCompletionMessageToolCall: call,
        Function: call.function,
        Usage: answer.usage,
    }
    assert {kind: type(value) for kind, value in kinds.items()} == {kind: kind for kind in kinds}


def test_the_parts_of_a_chunk_have_litellms_classes(fake_server):
    fake_server.enqueue(CALLS)
    chunks = list(ask(stream=True))
    choices = [chunk.choices[0] for chunk in chunks]
    calls = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert {type(chunk) for chunk in chunks} == {ModelResponseStream}
    assert {type(choice) for choice in choices} == {StreamingChoices}
    assert {type(choice.delta) for choice in choices} == {Delta}
    assert {type(call) for call in calls} == {ChatCompletionDeltaToolCall}
    assert {type(call.function) for call in calls} == {Function}
    assert type(chunks[-1].usage) is Usage


def test_a_program_can_make_the_parts_itself():
    function = Function(name="f", arguments={"x": 1})
    call = ChatCompletionMessageToolCall(id="a", function=function)
    message = Message(content="Hi", tool_calls=[call])
    answer = ModelResponse(id="c", choices=[Choices(message=message)], usage=Usage(prompt_tokens=3))
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"x": 1}'
    assert answer.usage.total_tokens == 0
    assert answer == {
        "id": "c",
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "Hi",
                "tool_calls": [
                    {"id": "a", "type": "function",
                     "function": {"name": "f", "arguments": '{"x": 1}'}},
                ],
            },
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 0},
    }  # fmt: skip


def test_the_defaults_of_a_part_are_those_of_litellm():
    assert Message() == {"content": None, "role": "assistant"}
    assert Message("Hi") == Message(content="Hi")
    assert Message(content="Hi", role="user").role == "user"
    assert Choices().message == Message()
    assert Function(name="f") == {"name": "f", "arguments": ""}
    assert Delta(content="Hi").tool_calls is None
    assert ChatCompletionUserMessage(role="user", content="Hi") == {"role": "user", "content": "Hi"}


def test_a_received_part_gets_no_defaults():
    answer = ModelResponse(choices=[{"message": {"content": "Hi"}}], usage={"prompt_tokens": 3})
    assert answer.choices[0].message.content == "Hi"
    assert answer.usage.total_tokens is None
    assert answer == {"choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 3}}
    assert ModelResponse(choices=[{}], usage={}).choices[0] == {}
    assert type(ModelResponse(usage={}).usage) is Usage
    assert ModelResponse(usage={}).usage == {}


def test_a_message_of_a_conversation_goes_back_as_it_is(fake_server):
    message = ask().choices[0].message
    litellm.completion(MODEL, [*MESSAGES, message, Message(content="Hi", role="user")])
    assert fake_server.requests[1].json["messages"][1] == message
    assert fake_server.requests[1].json["messages"][2] == {"content": "Hi", "role": "user"}
