"""How one provider is asked for an `Answer`: parameters, and what the prompt says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ritellm.answers.answer import Answer
from ritellm.answers.sent import NotExpressible, Sent, sent
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.wire import answer_modes as modes
from ritellm.wire.schema_keywords import keywords_of, of_tools

# The name of the schema, and of the tool whose arguments are the answer.
NAME = "answer"
_OWN = ("response_format", "tools", "tool_choice", "functions", "function_call")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer as one provider is asked for it: the mode, parameters, and a sentence."""

    answer: Answer
    mode: str
    params: Mapping[str, Any]
    instruction: str = ""

    def instructed(self, messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the messages with the instruction as (a part of) the system's message."""
        if not self.instruction:
            return list(messages)
        first = messages[0]
        if first.get("role") in ("system", "developer") and isinstance(first.get("content"), str):
            said = f"{first['content']}\n\n{self.instruction}"
            return [{**first, "content": said}, *messages[1:]]
        return [{"role": "system", "content": self.instruction}, *messages]


def wanted(
    answer: Any, endpoint: Endpoint, wire: str, model: str, given: Mapping[str, Any]
) -> Wanted:
    """Return how `model` at `endpoint` is asked for `answer`; raises InvalidRequestError."""
    if not isinstance(answer, Answer):
        raise InvalidRequestError(
            f"answer must be a ritellm.Answer, got {type(answer).__name__}; pass"
            " answer=Answer(schema)"
        )
    _check(given)
    provider = endpoint.provider.name
    mode = answer.mode or modes.mode_of(provider, model)
    schema = json.loads(answer.json)
    keywords = keywords_of(provider, wire)
    shaped = Sent(schema, False)
    if mode == modes.JSON_SCHEMA:
        try:
            shaped = sent(schema, keywords)
        except NotExpressible:
            mode = keywords.otherwise
    if mode == modes.TOOL:
        shaped = sent(schema, of_tools(keywords))
        if _thinks(given):
            mode = modes.PROMPT  # Claude may not be made to call a tool while it thinks
    if mode == modes.JSON_SCHEMA:
        strict = shaped.strict and modes.may_be_strict(provider, model)
        said = "" if modes.shows_schema(provider) else _instruction(answer)
        return Wanted(answer, mode, {"response_format": _format(shaped.schema, strict)}, said)
    if mode == modes.TOOL:
        return Wanted(answer, mode, _tool(shaped.schema))
    json_object = {"response_format": {"type": "json_object"}} if mode == modes.JSON_OBJECT else {}
    return Wanted(answer, mode, json_object, _instruction(answer))


def _check(given: Mapping[str, Any]) -> None:
    if taken := [name for name in _OWN if given.get(name)]:
        raise InvalidRequestError(
            f"answer cannot be combined with {', '.join(taken)}: the schema of the answer takes"
            " its place"
        )
    if given.get("n") not in (None, 1):
        raise InvalidRequestError("answer needs n=1: one answer is checked")


def _thinks(given: Mapping[str, Any]) -> bool:
    thinking = given.get("thinking")
    off = isinstance(thinking, Mapping) and thinking.get("type") == "disabled"
    return bool(thinking and not off) or given.get("reasoning_effort") not in (None, "none")


def _format(schema: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    shape = {"name": NAME, "strict": strict, "schema": schema}
    return {"type": "json_schema", "json_schema": shape}


def _tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": NAME, "description": "Give the answer.", "parameters": schema}
    return {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": NAME}},
    }


def _instruction(answer: Answer) -> str:
    return (
        "Answer with one JSON object and nothing else: no code fence, no text around it. The"
        f" object must satisfy this JSON schema:\n{answer.json}"
    )
