"""The requests for one answer: judge a completion, and ask again with what was wrong. Pure.

    conversation = Conversation(answer, messages, max_tokens)
    while True:
        completion = send(conversation.messages, conversation.max_tokens)
        if accepted := conversation.judge(completion, mode):
            break

A refusal and an answer that fails for good raise. Each judgement depends only on the completions
so far, so a journal of them leads to the same conversation again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ritellm.answers import texts
from ritellm.answers.answer import Answer
from ritellm.answers.faults import Fault
from ritellm.answers.texts import Found
from ritellm.answers.usages import usage_sum
from ritellm.answers.wanted import NAME
from ritellm.errors import AnswerInvalid, AnswerRefused
from ritellm.types import Completion
from ritellm.wire.answer_modes import NATIVE, TOOL

_AGAIN = "Answer again with one JSON object that satisfies the schema, and nothing else."


class Accepted(NamedTuple):
    """A valid answer. `text` is its JSON; `stripped` says whether the model wrote more around it.

    `reasks` is the number of requests after the first.
    """

    value: dict[str, Any]
    text: str
    stripped: bool
    mode: str
    reasks: int


class Conversation:
    """The messages of the next request, and its `max_tokens` if it differs from the first's."""

    def __init__(
        self, answer: Answer, messages: Sequence[Mapping[str, Any]], max_tokens: int | None = None
    ) -> None:
        self.answer = answer
        self.messages = list(messages)
        self.max_tokens: int | None = None
        self.requests = 0
        self.usage: dict[str, Any] | None = None  # the sum over the requests so far
        self._first_max = max_tokens
        self._left = answer.reasks

    def judge(
        self, completion: Mapping[str, Any], mode: str, stopped: Fault | None = None
    ) -> Accepted | None:
        """Return the answer in `completion`; None if `messages` must be sent now.

        `stopped` is the fault for which its stream was left before its end. Raises AnswerRefused,
        and AnswerInvalid if the model may not be asked again.
        """
        self.requests += 1
        self.usage = usage_sum(self.usage, completion.get("usage"))
        choice = (completion.get("choices") or [{}])[0]
        message = choice.get("message") or {}
        self._check_refusal(choice, message, completion)
        said = stopped or _said(message, mode)
        found = said if isinstance(said, Fault) else texts.read(said, prose=mode not in NATIVE)
        faults = [found] if isinstance(found, Fault) else self.answer.faults(found.value)
        if isinstance(found, Found) and not faults:
            return Accepted(found.value, found.text, found.stripped, mode, self.requests - 1)
        if choice.get("finish_reason") == "length":
            self._grow(faults, completion)
        else:
            self._ask_again(message, faults, completion)
        return None

    def _grow(self, faults: list[Fault], completion: Mapping[str, Any]) -> None:
        """Send the same messages with more room, once."""
        limit = self.answer.grow_max_tokens or 2 * (self._first_max or 0)
        if self.max_tokens is not None or limit <= (self._first_max or 0):
            reached = self.max_tokens or self._first_max
            at = f" at max_tokens={reached}" if reached else ""
            advice = f"the answer is cut off by its length{at}; set a larger grow_max_tokens"
            raise self._invalid([Fault(faults[0].path, "length", advice)], completion)
        self.max_tokens = limit

    def _ask_again(
        self, message: Mapping[str, Any], faults: list[Fault], completion: Mapping[str, Any]
    ) -> None:
        if self._left == 0:
            raise self._invalid(faults, completion)
        self._left -= 1
        listed = "; ".join(map(str, faults))
        self.messages += _turns(message, f"The answer is not valid: {listed}. {_AGAIN}")

    def _check_refusal(
        self, choice: Mapping[str, Any], message: Mapping[str, Any], completion: Mapping[str, Any]
    ) -> None:
        said = message.get("refusal")
        if said:
            reason = f"the model refused: {said!s:.300}"
        elif choice.get("finish_reason") == "content_filter":
            reason = "the provider's filter ended the answer"
        else:
            return
        raise AnswerRefused(reason, partial=self._whole(completion), attempts=self.requests)

    def _invalid(self, faults: Sequence[Fault], completion: Mapping[str, Any]) -> AnswerInvalid:
        listed = "; ".join(map(str, faults))
        return AnswerInvalid(
            f"the answer is not valid: {listed}",
            path=faults[0].path,
            rule=faults[0].rule,
            partial=self._whole(completion),
            attempts=self.requests,
        )

    def _whole(self, completion: Mapping[str, Any]) -> Completion:
        """Return `completion` with the tokens of all requests."""
        return Completion({**completion, **({"usage": self.usage} if self.usage else {})})

    def usage_with(self, usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the tokens of all requests, and of one more that was not judged."""
        return usage_sum(self.usage, usage)

    def answered(self, completion: Mapping[str, Any], accepted: Accepted) -> Completion:
        """Return `completion` with the facts about its answer, and the tokens of all requests."""
        facts = {
            "mode": accepted.mode,
            "reasks": accepted.reasks,
            "stripped": accepted.stripped,
            "text": accepted.text,
        }
        rest = {name: value for name, value in completion.items() if name != "answer"}
        return self._whole({"answer": facts, **rest})


def _said(message: Mapping[str, Any], mode: str) -> str | Fault:
    """Return the text of the answer: what the model wrote, or the arguments of its call."""
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    if mode != TOOL:
        return text
    calls = [each.get("function") or {} for each in message.get("tool_calls") or ()]
    if not calls:
        return Fault("$", "tool", f"the tool {NAME!r} must be called, got a text")
    if len(calls) > 1 or calls[0].get("name") != NAME:
        return Fault("$", "tool", f"the tool {NAME!r} must be called once, and no other")
    return str(calls[0].get("arguments") or "")


def text_of(completion: Mapping[str, Any], mode: str) -> str:
    """Return the text of the answer, "" without one."""
    choice = (completion.get("choices") or [{}])[0]
    said = _said(choice.get("message") or {}, mode)
    return "" if isinstance(said, Fault) else said


def _turns(message: Mapping[str, Any], complaint: str) -> list[Mapping[str, Any]]:
    """Return the model's message for the next request, and the complaint about it.

    A call whose arguments are not JSON cannot be sent back as a call: it becomes a text.
    """
    calls = message.get("tool_calls") or ()
    if calls and all(_is_object(call) for call in calls):
        answers = [
            {"role": "tool", "tool_call_id": call.get("id") or "", "content": complaint}
            for call in calls
        ]
        return [{**message, "role": "assistant"}, *answers]
    parts = [message.get("content"), *map(_arguments, calls)]
    text = "\n".join(part for part in parts if isinstance(part, str) and part.strip())
    said = [{"role": "assistant", "content": text}] if text else []
    return [*said, {"role": "user", "content": complaint}]


def _arguments(call: Mapping[str, Any]) -> Any:
    return (call.get("function") or {}).get("arguments")


def _is_object(call: Mapping[str, Any]) -> bool:
    return not isinstance(texts.read(str(_arguments(call) or "")), Fault)
