"""A call and its result have one id, in the form that the server accepts."""

from __future__ import annotations

import re

import orjson
import pytest
from bodies import history, sent

LONG = "call_PTLP8xhu3uwZk4l3nlnrrJha" + "x" * 80
PATTERNS = {
    "mistral/m": r"[a-zA-Z0-9]{9}",
    "hosted_vllm/mistralai/Mistral-Small": r"[a-zA-Z0-9]{9}",
    "openai/m": r".{1,40}",
    "azure/m": r".{1,40}",
    "openai/responses/m": r".{1,64}",
    "anthropic/m": r"[a-zA-Z0-9_-]+",
    "bedrock/m": r"[a-zA-Z0-9_.:-]{1,64}",
}


def ids(body):
    """Return the ids of calls and of results in a body, in order."""
    names = "id|tool_call_id|call_id|tool_use_id|toolUseId"
    return re.findall(rf'"(?:{names})":"([^"]+)"', orjson.dumps(body).decode())


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize("id", [LONG, "functions.now:0", "call_PTLP8xhu3uwZk4l3nlnrrJha", "é" * 9])
def test_an_id_has_the_form_that_the_server_accepts_at_both_ends(model, id):
    [called, answered] = ids(sent(model, history(id=id)))
    assert called == answered
    assert re.fullmatch(PATTERNS[model], called)
    assert ids(sent(model, history(id=id))) == [called, answered]


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize(
    "two", [(LONG + "1", LONG + "2"), ("a.b", "a_b"), ("a_b", "a.b"), ("a:b", "a b")]
)
def test_two_calls_never_share_an_id(model, two):
    messages = [message for id in two for message in history(id=id)]
    first, again, second, last = ids(sent(model, messages))
    assert (first, second) == (again, last)
    assert first != second


@pytest.mark.parametrize("model", PATTERNS)
def test_an_id_that_fits_is_unchanged(model):
    assert ids(sent(model, history(id="a1b2c3d4e"))) == ["a1b2c3d4e"] * 2


def twice(first, second, results=None):
    """Return a conversation with two calls in one message."""
    called = [history(id=id)[1]["tool_calls"][0] for id in (first, second)]
    answered = [{**history(id=id)[2]} for id in results or (first, second)]
    return [*history()[:1], {"role": "assistant", "tool_calls": called}, *answered]


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize("id", ["call_0", "functions.now:0", "a1b2c3d4e"])
def test_calls_of_a_server_that_repeats_its_ids_are_told_apart(model, id):
    first, again, second, last = ids(sent(model, [*history(id=id), *history(id=id)]))
    assert (first, second) == (again, last)
    assert first != second
    first, second, again, last = ids(sent(model, twice(id, id)))
    assert (first, second) == (again, last)
    assert first != second


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize("none", ["", None])
def test_calls_without_ids_are_answered_in_order(model, none):
    first, second, again, last = ids(sent(model, twice(none, none)))
    assert (first, second) == (again, last)
    assert first != second


@pytest.mark.parametrize("model", PATTERNS)
def test_results_may_come_in_another_order(model):
    first, second, last, again = ids(sent(model, twice("a.b", "a:b", ("a:b", "a.b"))))
    assert (first, second) == (again, last)


@pytest.mark.parametrize("model", PATTERNS)
def test_a_longer_conversation_keeps_the_ids_of_its_beginning(model):
    begun = history(id="a.b")
    before = ids(sent(model, begun))
    assert ids(sent(model, [*begun, *history(id="a_b")]))[:2] == before
