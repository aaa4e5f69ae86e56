"""The requests of one row: each follows from the completions before it. No Beam, no I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import orjson

from ritellm.answers.conversation import Conversation, text_of
from ritellm.answers.faults import Fault
from ritellm.errors import AnswerInvalid, AnswerRefused
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.journal.key import JournalKey
from transforms.worker.answers.sums import sum_if_known, sums_of, waste_of
from transforms.worker.options import CompleterOptions
from transforms.worker.outcomes import to_dead_letter
from transforms.worker.records.recording import Room
from transforms.worker.requests import PromptRequest
from transforms.worker.stops.stop_conditions import BY_READER

_LIMITS = ("max_completion_tokens", "max_tokens")


class Entries(Protocol):
    """What a chain needs of a journal: `transforms.worker.recorded.entries` has it."""

    def key(
        self,
        model: str,
        base_url: str | None,
        params: Mapping[str, Any],
        prompt: Prompt,
        body: Mapping[str, Any],
    ) -> JournalKey | None:
        """Return the key of the completion of `body`."""

    def completion(self, request: PromptRequest) -> Completion | None:
        """Return the completion of an earlier run of `request`. May block."""


class Chain:
    """The requests of one row: the next one to send, and the completions so far."""

    def __init__(self, options: CompleterOptions, journal: Entries, request: PromptRequest) -> None:
        self._options, self._journal = options, journal
        self.request = self._first = request
        self._limit = _limit_of({**options.params, **request.body})
        messages = request.body.get("messages")
        self._conversation = _conversation(
            options, messages if isinstance(messages, list) else [], self._limit[1]
        )
        self._past: list[Completion] = []

    @property
    def attempts(self) -> int:
        """The attempts of the requests so far."""
        return sum(each.attempts for each in self._past)

    def judge(self, completion: Completion) -> Completion | DeadLetter | None:
        """Return how the row ends with the completion of `request`; None if there is a next one."""
        self._past.append(completion)
        whole = orjson.loads(completion.completion)
        facts = whole.get("answer") or {}
        mode = facts.get("mode") or ""
        stopped = facts.get("stopped")
        fault = None if stopped is None else Fault(*stopped)
        if fault == BY_READER:
            return self._halted(whole)
        try:
            accepted = self._conversation.judge(whole, mode, fault)
        except (AnswerInvalid, AnswerRefused) as error:
            error.model = whole.get("model")
            return self._failed(error, text_of(whole, mode))
        if accepted is not None:
            return self._completed(whole, accepted)
        self.request = self._next()
        return None

    def _next(self) -> PromptRequest:
        conversation, options = self._conversation, self._options
        body = {**self._first.body, "messages": conversation.messages}
        if conversation.max_tokens is not None:
            body[self._limit[0]] = conversation.max_tokens
        prompt = self._first.prompt
        key = self._journal.key(options.model, options.base_url, options.keyed_params, prompt, body)
        return replace(self._first, body=body, key=key)

    def _completed(self, whole: Mapping[str, Any], accepted: Any) -> Completion:
        answered = self._conversation.answered(whole, accepted)
        last = self._past[-1]
        if self._options.answer is not None and (saved := self._tokens_saved(last)):
            answered["answer"]["tokens_saved"] = saved
        return last._replace(completion=orjson.dumps(dict(answered)).decode(), **self._totals())

    def _halted(self, whole: Mapping[str, Any]) -> Completion:
        """Return the completion that a reader has stopped, with the tokens of all requests."""
        usage = self._conversation.usage_with(whole.get("usage"))
        rest = {name: value for name, value in whole.items() if name != "answer"}
        shown = orjson.dumps({**rest, "usage": usage}).decode()
        return self._past[-1]._replace(completion=shown, **self._totals())

    def _tokens_saved(self, last: Completion) -> int:
        """Return the tokens that stopped answers lack, if they had become as long as the last."""
        whole = last.completion_tokens or 0
        stopped = [each for each in self._past if '"stopped":' in each.completion[:200]]
        return sum(max(0, whole - (each.completion_tokens or 0)) for each in stopped)

    def _totals(self) -> dict[str, Any]:
        """Return the columns that are sums over the requests."""
        past = self._past
        return {
            **sums_of(past),
            **waste_of(past),
            "cost_usd": sum_if_known([each.cost_usd for each in past]),
            "attempts": self.attempts,
            "replayed": all(each.replayed for each in past),
            "shared": all(each.shared for each in past),
        }

    def _failed(self, error: AnswerInvalid | AnswerRefused, text: str) -> DeadLetter:
        prompt, prices = self._first.prompt, self._options.prices
        letter = to_dead_letter(prompt, error, prices, time.time())
        totals = self._totals()
        free = totals["replayed"] or totals["shared"]
        return letter._replace(
            message=str(error.message),
            partial_text=text,
            usage=None if free else letter.usage,
            cost_usd=0.0 if free else totals["cost_usd"],
            attempts=totals["attempts"],
            seconds=totals["seconds"],
            **waste_of([] if free else self._past),
        )

    def ended(self, letter: DeadLetter) -> DeadLetter:
        """Return the dead letter of a request that failed, with what those before it have cost."""
        if not self._past:
            return letter
        usage = self._conversation.usage_with(_loads(letter.usage))
        paid = [each for each in self._past if not (each.replayed or each.shared)]
        costs = [each.cost_usd for each in paid]
        costs += [letter.cost_usd] if letter.usage else []
        return letter._replace(
            usage=None if usage is None else orjson.dumps(usage).decode(),
            cost_usd=sum_if_known(costs),
            attempts=letter.attempts + self.attempts,
            **waste_of([*paid, letter]),
        )


def _conversation(options: CompleterOptions, messages: list[Any], limit: int | None) -> Any:
    """Return what judges the completions of a row, and says what to send next."""
    if options.answer is not None:
        return Conversation(options.answer, messages, limit)
    assert options.records is not None
    return Room(options.records, messages, limit)


def _limit_of(params: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the name and the value of the limit on tokens."""
    for name in _LIMITS:
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return name, value
    return _LIMITS[1], None


def _loads(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
