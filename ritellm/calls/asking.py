"""The requests of a client for one answer with a schema, one after the other. Pure.

    asking = Asking(draft, messages)
    while asking.answered is None:
        stream = open(asking.plan())
        for chunks in stream:
            deliver(asking.watched(chunks, stream))
            if asking.is_lost:
                break
        asking.judge(stream)

What holds: the attempts of a further request are numbered after those of the requests before it, so
its chunks replace theirs (`ritellm.stream_chunk_builder`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ritellm.calls.plan import Draft, Plan
from ritellm.chunks.stopped import stopped_completion
from ritellm.errors import AnswerInvalid, AnswerRefused
from ritellm.types import Chunk, Completion, Discarded, set_attempt

if TYPE_CHECKING:
    from ritellm.answers.faults import Fault
    from ritellm.answers.watch import Watch
    from ritellm.calls.stream_facts import StreamFacts


class Asking:
    """Makes the plan of the next request, watches its chunks, and judges its completion."""

    def __init__(self, draft: Draft, messages: Any) -> None:
        # Most calls have no schema, and do not load what checks one.
        from ritellm.answers.conversation import Conversation

        assert draft.blank.wanted is not None
        draft.plan(messages)  # raises for messages of another form
        self._draft = draft
        self._answer = draft.blank.wanted.answer
        self._conversation = Conversation(self._answer, messages, draft.max_tokens)
        self.answered: Completion | None = None  # with its answer in `parsed`
        # What the requests that have ended had.
        self.attempts = 0
        self.discarded: list[Discarded] = []
        # The request that is read.
        self._plan: Plan | None = None
        self._watch: Watch | None = None
        self._is_watched = True
        self._fault: Fault | None = None

    def plan(self) -> Plan:
        """Return the plan of the next request."""
        draft, limit = self._draft, self._conversation.max_tokens
        if limit is not None:
            draft = draft.with_max_tokens(limit)
        self._watch, self._is_watched, self._fault = None, True, None
        self._plan = draft.plan(self._conversation.messages)
        return self._plan

    @property
    def is_lost(self) -> bool:
        """Whether the answer that arrives cannot become valid, so that the rest is of no use."""
        return self._fault is not None

    def watched(self, chunks: Iterable[Chunk], stream: StreamFacts) -> list[Chunk]:
        """Return the next chunks of `stream` with the numbers of their attempts over all requests.

        Look at `is_lost` afterwards.
        """
        found = list(chunks)
        if self._is_watched:
            self._look_at(found, stream)
        if self.attempts:
            for chunk in found:
                set_attempt(chunk, chunk.attempt + self.attempts)
        return found

    def _look_at(self, chunks: list[Chunk], stream: StreamFacts) -> None:
        if self._watch is None:
            from ritellm.answers.watch import Watch

            self._watch = Watch(self._answer, stream.answer_mode)
        if (fault := self._watch.fault(chunks)) is None:
            return
        if stream.has_ended:
            # The provider has made the whole answer, and its count of tokens is about to come.
            self._is_watched = False
        else:
            self._fault = fault

    def judge(self, stream: StreamFacts) -> None:
        """Judge what `stream` has brought: set `answered`, or let `plan` ask again.

        Raises AnswerInvalid and AnswerRefused.
        """
        completion = stream._call.completion()
        origin = completion._origin
        self.attempts += stream._call.attempts
        self.discarded += stream._call.discarded
        if self._fault is not None:
            completion = Completion(stopped_completion(completion, self._sent()))
        try:
            accepted = self._conversation.judge(completion, stream.answer_mode, self._fault)
        except (AnswerInvalid, AnswerRefused) as error:
            error.provider, _, error.model = stream.model.partition("/")
            error.attempts = self.attempts
            raise
        if accepted is not None:
            answered = self._conversation.answered(completion, accepted)
            answered._origin = origin
            answered.parsed = self._answer.parsed(accepted.value)
            self.answered = answered

    def _sent(self) -> dict[str, Any]:
        """Return the body of the request, as far as its tokens are estimated from it."""
        assert self._plan is not None, "plan() comes first"
        request = self._plan.request
        return {**request.params, "messages": request.messages}
