"""The requests of a client for one answer with a schema, one after the other. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ritellm.calls.plan import Draft, Plan
from ritellm.errors import AnswerInvalid, AnswerRefused, InvalidRequestError
from ritellm.types import Completion

if TYPE_CHECKING:
    from ritellm.calls.stream_facts import StreamFacts


class Asking:
    """Makes the plan of the next request, and judges what comes back."""

    def __init__(self, draft: Draft, messages: Any) -> None:
        # Most calls have no schema, and do not load what checks one.
        from ritellm.answers.conversation import Conversation

        assert draft.blank.wanted is not None
        if draft.blank.request.stream:
            raise InvalidRequestError(
                "answer needs stream=False: an answer is checked when it is complete"
            )
        draft.plan(messages)  # raises for messages of another form
        self._draft = draft
        self._answer = draft.blank.wanted.answer
        self._conversation = Conversation(self._answer, messages, draft.max_tokens)

    def plan(self) -> Plan:
        """Return the plan of the next request."""
        draft, limit = self._draft, self._conversation.max_tokens
        if limit is not None:
            draft = draft.with_max_tokens(limit)
        return draft.plan(self._conversation.messages)

    def answered(self, completion: Completion, stream: StreamFacts) -> Completion | None:
        """Return `completion` with its answer in `parsed`; None if the model must be asked again.

        Raises AnswerInvalid and AnswerRefused.
        """
        try:
            accepted = self._conversation.judge(completion, stream.answer_mode)
        except (AnswerInvalid, AnswerRefused) as error:
            error.provider, _, error.model = stream.model.partition("/")
            raise
        if accepted is None:
            return None
        answered = self._conversation.answered(completion, accepted)
        answered._origin = completion._origin
        answered.parsed = self._answer.parsed(accepted.value)
        return answered
