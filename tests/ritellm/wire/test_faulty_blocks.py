"""Blocks and items of an answer that servers open, close or number in odd ways."""

from __future__ import annotations

import json

import pytest
from dialect_samples import frame
from replay import answered, body_of, completion_of, message_of, sse

BINARY = "application/vnd.amazon.eventstream"
MESSAGE = {"id": "m", "model": "claude", "content": [], "usage": {"input_tokens": 25}}


def started(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def grown(index, kind, **fields):
    delta = {"type": kind, **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def stopped(index):
    return {"type": "content_block_stop", "index": index}


def anthropic(*events, reason="end_turn"):
    start = {"type": "message_start", "message": MESSAGE}
    stop = {"type": "message_delta", "delta": {"stop_reason": reason}}
    return answered("anthropic", sse(start, *events, stop, {"type": "message_stop"}))


def sent_back(wire, message):
    """Return the content of `message` in the next request."""
    history = [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "More"}]
    return body_of(wire, history, max_tokens=9)["messages"][1]["content"]


SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
EVERY_BLOCK = [
    [started(0, **SEARCH), grown(0, "input_json_delta", partial_json='{"q":1}')],
    [started(1, type="text", text=""), grown(1, "text_delta", text="Hi")],
    [
        started(2, type="thinking"),
        grown(2, "thinking_delta", thinking="Hm"),
        grown(2, "signature_delta", signature="S"),
    ],
    [started(3, type="tool_use", id="t", name="now", input={})],
    [
        started(4, type="tool_use", id="u", name="f", input={}),
        grown(4, "input_json_delta", partial_json='{"a":1}'),
    ],
    [started(5, type="text", text="there")],
]


@pytest.mark.parametrize("closed", [set(), {0}, {1, 3}, {4, 5}, {0, 1, 2, 3, 4}], ids=repr)
def test_blocks_that_are_not_closed_equal_closed_ones(closed):
    blocks = enumerate(EVERY_BLOCK)
    events = [each for at, block in blocks for each in [*block, *[stopped(at)] * (at in closed)]]
    every = [each for at, block in enumerate(EVERY_BLOCK) for each in [*block, stopped(at)]]
    message, expected = message_of(anthropic(*events)), message_of(anthropic(*every))
    assert message == expected
    calls = [call["function"]["arguments"] for call in message["tool_calls"]]
    assert calls == ["{}", '{"a":1}']
    back = sent_back("anthropic", message)
    kinds = [block["type"] for block in back]
    assert kinds == ["server_tool_use", "text", "thinking", "tool_use", "tool_use", "text"]
    assert back[0]["input"] == {"q": 1}


def test_blocks_that_all_have_index_0_and_are_not_closed_are_kept_apart():
    events = [{**each, "index": 0} for block in EVERY_BLOCK for each in block]
    expected = message_of(anthropic(*[each for block in EVERY_BLOCK for each in block]))
    message = message_of(anthropic(*events))
    assert message["content"] == "Hithere"
    assert message["tool_calls"] == expected["tool_calls"]


def bedrock(*events):
    end = [("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": {}})]
    frames = [("messageStart", {"role": "assistant"}), *events, *end]
    return answered("bedrock", b"".join(frame(*each) for each in frames), BINARY)


def announced(index, **start):
    return ("contentBlockStart", {"contentBlockIndex": index, "start": start})


def delta(index, **fields):
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": fields})


def thought(index, **fields):
    return delta(index, reasoningContent=fields)


def test_an_announced_block_of_bedrocks_equals_one_without_announcement():
    plain = [thought(0, text="Hm"), thought(0, signature="S"), delta(1, text="Hi")]
    expected = message_of(bedrock(*plain))
    assert expected["reasoning_content"] == "Hm"
    for reasoning, text in (({}, {}), ({"text": ""}, ""), (None, None)):
        events = [announced(0, reasoningContent=reasoning), *plain[:2]]
        message = message_of(bedrock(*events, announced(1, text=text), plain[2]))
        assert message == expected


def test_an_announcement_with_text_counts():
    events = [announced(0, reasoningContent={"text": "H"}), thought(0, text="m")]
    assert message_of(bedrock(*events, delta(1, text="Hi")))["reasoning_content"] == "Hm"


def test_ollamas_arguments_that_are_text_already_are_not_encoded_again():
    for arguments, expected in (('{"a":1}', {"a": 1}), ("", {}), ({"a": 1}, {"a": 1}), (None, {})):
        call = {"function": {"name": "f", "arguments": arguments}}
        line = {"model": "m", "message": {"tool_calls": [call]}, "done": True}
        exchange = answered("ollama", json.dumps(line).encode(), "application/x-ndjson")
        (call,) = completion_of(exchange)["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == expected


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    "shape",
    [
        lambda text: {"text": text},
        lambda text: {"type": "reasoning", "content": text},
        lambda text: [{"text": text}],
        lambda text: [text],
        lambda text: text,
    ],
)
def test_reasoning_that_is_an_object_is_its_text(name, shape):
    deltas = [{name: shape("I nee")}, {name: shape("d")}, {"content": "Hi"}]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    message = message_of(answered("openai_chat", sse(*events, stop, done=True)))
    assert message["reasoning_content"] == "I need"
    assert "reasoning" not in message


@pytest.mark.parametrize("odd", [{"tokens": 3}, {"text": 3}, [{"odd": 1}]])
def test_reasoning_without_text_is_kept(odd):
    event = {"choices": [{"index": 0, "delta": {"reasoning": odd}, "finish_reason": "stop"}]}
    assert message_of(answered("openai_chat", sse(event, done=True)))["reasoning"] == odd


# Items of the Responses API


def call_item(number, arguments="", **fields):
    id, call_id, name = f"fc_{number}", f"call_{number}", "fgh"[number]
    head = {"type": "function_call", "id": id, "call_id": call_id, "name": name}
    return {**head, "arguments": arguments, **fields}


def text_item(text=None):
    parts = [] if text is None else [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_0", "role": "assistant", "content": parts}


def added(item, index=0):
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def completed(item, index=0):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def piece(number, delta, id=None, index=0):
    kind = "response.function_call_arguments.delta"
    return {"type": kind, "output_index": index, "item_id": id or f"fc_{number}", "delta": delta}


def words(delta, id="msg_0", index=0):
    kind = "response.output_text.delta"
    return {"type": kind, "output_index": index, "item_id": id, "delta": delta}


def responses(*events, output=None):
    begun = {"type": "response.created", "response": {"id": "r", "model": "m"}}
    response = {"id": "r", "status": "completed", "output": output or []}
    end = {"type": "response.completed", "response": response}
    return message_of(answered("openai_responses", sse(begun, *events, end)))


def calls_of(message):
    calls = message.get("tool_calls", [])
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


FIRST, SECOND = call_item(0, '{"a":1}'), call_item(1, '{"b":2}')


def test_a_message_and_a_call_may_have_the_same_output_index():
    text = [added(text_item()), words("Hel"), words("lo"), completed(text_item("Hello"))]
    for call in ([added(call_item(0))], []):
        message = responses(*text, *call, completed(FIRST))
        assert message["content"] == "Hello"
        assert calls_of(message) == [("f", '{"a":1}')]


@pytest.mark.parametrize("ends", [[completed(FIRST), completed(SECOND)], []], ids=["done", "open"])
def test_calls_with_the_same_output_index_are_told_apart_by_their_ids(ends):
    pieces = [piece(0, '{"a"'), piece(1, '{"b"'), piece(0, ":1}"), piece(1, ":2}")]
    message = responses(added(call_item(0)), added(call_item(1)), *pieces, *ends)
    assert calls_of(message) == [("f", '{"a":1}'), ("g", '{"b":2}')]


def test_items_whose_id_changes_with_each_event_are_told_apart_by_their_output_index():
    message = responses(
        added(text_item(), 0),
        words("Hel", "x1", 0),
        words("lo", "x2", 0),
        completed({**text_item("Hello"), "id": "x3"}, 0),
        added(call_item(0), 1),
        piece(0, '{"a"', "y1", 1),
        piece(0, ":1}", "y2", 1),
        completed({**FIRST, "id": "y3"}, 1),
    )
    assert message["content"] == "Hello"
    assert calls_of(message) == [("f", '{"a":1}')]


def test_items_without_ids_are_told_apart_by_their_output_index():
    def plain(event):
        event = {key: value for key, value in event.items() if key != "item_id"}
        item = {key: value for key, value in event.get("item", {}).items() if key != "id"}
        return {**event, "item": item} if item else event

    events = [added(call_item(0), 0), piece(0, '{"a"', index=0), added(call_item(1), 1)]
    events += [piece(1, '{"b":2}', index=1), piece(0, ":1}", index=0)]
    events += [completed(SECOND, 1), completed(FIRST, 0)]
    assert calls_of(responses(*map(plain, events))) == [("f", '{"a":1}'), ("g", '{"b":2}')]
