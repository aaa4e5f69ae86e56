"""What a completion is sent with: a `Plan`, and a `Draft`, which is a plan without messages.

A draft is checked once and serves many completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ritellm.calls import resume
from ritellm.calls.attachments import attach
from ritellm.calls.blame import unreadable
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.retry import RetryPolicy
from ritellm.types import Request, Timeouts

if TYPE_CHECKING:
    from ritellm.answers.wanted import Wanted


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
        try:
            return self._plan(messages)
        except RitellmError:
            raise
        except Exception as error:  # of a value that raises when it is read
            raise unreadable("messages", messages, error) from error

    def _plan(self, messages: Any) -> Plan:
        blank = self.blank
        checked = _checked(messages)
        if blank.wanted is not None:
            checked = blank.wanted.instructed(checked)
        request = replace(blank.request, messages=attach(checked, self.local_files))
        if blank.endpoint.tape is None:
            if blank.on_interrupt == "continue" and request.stream:
                request = resume.prepared(request, blank.endpoint)
            if blank.on_length == "continue":
                resume.check_prefill(request, blank.endpoint)
        rest = tuple([draft.plan(messages) for draft in self.fallbacks])
        return replace(blank, request=request, fallbacks=rest)

    @property
    def max_tokens(self) -> Any:
        """The limit on the completion's tokens, None without one."""
        params = self.blank.request.params
        return params.get("max_completion_tokens", params.get("max_tokens"))

    def with_max_tokens(self, limit: int) -> Draft:
        """Return this draft with another limit on the completion's tokens."""
        params = self.blank.request.params
        name = "max_completion_tokens" if "max_completion_tokens" in params else "max_tokens"
        request = replace(self.blank.request, params={**params, name: limit})
        rest = tuple([draft.with_max_tokens(limit) for draft in self.fallbacks])
        return replace(self, blank=replace(self.blank, request=request), fallbacks=rest)


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
OnLength = Literal["stop", "continue"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, its endpoint, and the policy for timeouts and retries.

    `wanted` says how the answer is asked for, if it must satisfy a schema.
    """

    request: Request
    endpoint: Endpoint
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_interrupt: OnInterrupt = "raise"
    on_length: OnLength = "stop"
    fallbacks: tuple[Plan, ...] = ()
    record: str | None = None
    wanted: Wanted | None = None
