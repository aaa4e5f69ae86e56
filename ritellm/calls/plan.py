"""What a completion is sent with: a `Plan`, and a `Draft`, which is a plan without messages.

A draft is checked once and serves many completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ritellm.calls import resume
from ritellm.calls.attachments import attach
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.retry import RetryPolicy
from ritellm.types import Request, Timeouts


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its messages, its endpoint and its retry policy.

    With `local_files`, files that messages name by a path are read.
    """

    blank: Plan
    local_files: bool = False
    fallbacks: tuple[Draft, ...] = ()

    @property
    def lasts(self) -> bool:
        """Whether the draft can be used later: it contains no credentials that expire."""
        own = self.blank.endpoint.provider.resolver is None
        return own and all(draft.lasts for draft in self.fallbacks)

    def plan(self, messages: Any) -> Plan:
        """Return the plan for `messages`; raises InvalidRequestError and says what to change."""
        blank = self.blank
        request = replace(blank.request, messages=attach(_checked(messages), self.local_files))
        if blank.on_interrupt == "continue" and request.stream and blank.endpoint.tape is None:
            request = resume.prepared(request, blank.endpoint)
        rest = tuple([draft.plan(messages) for draft in self.fallbacks])
        return replace(blank, request=request, fallbacks=rest)


def _checked(messages: Any) -> list[Mapping[str, Any]]:
    if not isinstance(messages, (list, tuple)):
        raise InvalidRequestError(
            f"messages must be a list of objects with a role, got {type(messages).__name__}"
        )
    if not messages:
        raise InvalidRequestError("messages must not be empty")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidRequestError(
                f"messages[{position}] must be an object with a role, got {message!r:.80}"
            )
    return list(messages)


OnInterrupt = Literal["raise", "restart", "continue"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, its endpoint, and the policy for timeouts and retries."""

    request: Request
    endpoint: Endpoint
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_interrupt: OnInterrupt = "raise"
    fallbacks: tuple[Plan, ...] = ()
    record: str | None = None
