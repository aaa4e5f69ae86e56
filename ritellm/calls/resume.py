"""Continues an unfinished answer without a visible seam: `on_interrupt`, `on_length`. Pure.

Problem: a connection breaks in the middle of an answer that the caller has already shown in part,
or `max_tokens` ends it there.

Idea: there are two ways. The Responses API runs a response in the background, so a new request can
read the rest of the same response (`_Resumed`). Other providers accept the text so far as the
beginning of their answer (prefill, `_Prefilled`).

    prepared() --> attempt --interrupted--> can_continue()? --yes--> continued() --> attempt
                                                 +--------------no---> the call raises the error

An answer that `max_tokens` cut off has ended at the provider, so only a prefill continues it.

Invariants:
- For a provider that documents neither way, the call fails before anything is sent.
- The chunks of all attempts carry one attempt number and add up to one completion.
- With a prefill, usage adds up all requests, and `interrupted_requests` counts the broken ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, cast

from ritellm import wire as wires
from ritellm.calls.exchange import Exchange
from ritellm.chunks.usage import merged
from ritellm.endpoints import Endpoint, Prefill
from ritellm.errors import APIConnectionError, InvalidRequestError, Timeout
from ritellm.types import Chunk, HttpRequest, Request
from ritellm.wire.base import Decoder

_RESPONSES = frozenset({"openai_responses", "azure_responses"})
# The fields of a message that can be continued. Tool calls, for example, cannot.
_PLAIN = frozenset({"content", "provider_specific_fields", "role"})


def prepared(request: Request, endpoint: Endpoint) -> Request:
    """Return `request` so that its answer can be continued; raises InvalidRequestError."""
    if _in_background(endpoint):
        if request.extra_body.get("store", request.params.get("store")) is False:
            raise _cannot(endpoint, "without store=True")
        return replace(request, extra_body={**request.extra_body, "background": True})
    if (why := _no_prefill(request, endpoint)) is not None:
        raise _cannot(endpoint, why)
    return request


def check_prefill(request: Request, endpoint: Endpoint) -> None:
    """Raise InvalidRequestError if `endpoint` cannot continue an answer that its length cut off."""
    why = "of the Responses API" if endpoint.wire in _RESPONSES else _no_prefill(request, endpoint)
    if why is not None:
        name = endpoint.provider.name
        what = f"{name} cannot continue an answer that max_tokens cut off {why}"
        raise InvalidRequestError(
            f"{' '.join(what.split())}: leave out on_length='continue'", provider=name
        )


def _no_prefill(request: Request, endpoint: Endpoint) -> str | None:
    """Return in what case a beginning of the answer cannot be sent, None if it can."""
    prefill = endpoint.provider.quirks.prefill
    if prefill is None:
        return ""
    if not any(fnmatchcase(request.model, pattern) for pattern in prefill.models):
        return f"with {request.model}"
    if said := sorted(prefill.unless & request.params.keys()):
        return f"with {said[0]}"
    if request.params.get("n") not in (None, 1):
        return "with n above 1"
    if request.messages[-1].get("role") == "assistant":
        return "when the last message is the assistant's already"
    return None


def can_follow(before: Exchange) -> bool:
    """Return whether a prefill can continue the text of `before`, which its length cuts off."""
    message = _message(before)
    return not any(value for name, value in message.items() if name not in _PLAIN)


def can_continue(before: Exchange, endpoint: Endpoint) -> bool:
    """Return whether `endpoint` can continue the partial answer of `before`."""
    if _in_background(endpoint):
        same = endpoint.provider is before.endpoint.provider and before.decoder is not None
        return same and bool(before.completion().get("id"))
    return can_follow(before)


def continued(before: Exchange, request: Request, endpoint: Endpoint, attempts: int) -> Exchange:
    """Return the exchange that continues the answer of `before`, under the same attempt."""
    if _in_background(endpoint):
        resumed = _resumed(before, endpoint)
        return Exchange(request, endpoint, before.attempt, attempts=attempts, continuation=resumed)
    prefill = endpoint.provider.quirks.prefill or Prefill()
    text = _message(before).get("content") or ""
    begun = text.rstrip() if prefill.strips else text
    echo = text if prefill.echoes else text[len(begun) :]
    if begun:
        request, endpoint = _with_prefill(request, endpoint, prefill, begun)
    prefilled = _Prefilled(before, echo if begun else "")
    return Exchange(request, endpoint, before.attempt, attempts=attempts, continuation=prefilled)


def cancellation(left: Exchange, request: Request) -> HttpRequest | None:
    """Return the request that cancels a response which runs in the background.

    None if closing the connection is enough, or if nothing is left to cancel.
    """
    endpoint, error = left.endpoint, left.error
    if not _in_background(endpoint) or endpoint.tape is not None or left.complete:
        return None
    by_provider = error is not None and not isinstance(error, (APIConnectionError, Timeout))
    id = left.completion().get("id")
    if by_provider or not id:
        return None
    cancel: Any = getattr(wires.load(endpoint.wire), "cancel_request")  # noqa: B009
    return cast(HttpRequest, cancel(request, endpoint, id))


def _in_background(endpoint: Endpoint) -> bool:
    return endpoint.provider.quirks.background and endpoint.wire in _RESPONSES


def _cannot(endpoint: Endpoint, why: str) -> InvalidRequestError:
    name = endpoint.provider.name
    return InvalidRequestError(
        f"{' '.join(f'{name} cannot continue an interrupted answer {why}'.split())}:"
        " pass on_interrupt='restart' or 'raise'",
        provider=name,
    )


def _message(before: Exchange) -> Mapping[str, Any]:
    choices = before.completion().get("choices") or [{"message": {}}]
    message: Mapping[str, Any] = choices[0]["message"]
    return message


def _with_prefill(
    request: Request, endpoint: Endpoint, prefill: Prefill, text: str
) -> tuple[Request, Endpoint]:
    begun = {"role": "assistant", "content": text, **prefill.message}
    body = {**request.extra_body, **prefill.body}
    prefilled = replace(request, messages=[*request.messages, begun], extra_body=body)
    if not prefill.path:
        return prefilled, endpoint
    root = endpoint.base_url.rstrip("/").removesuffix("/chat/completions")
    root = root.removesuffix(prefill.path).removesuffix("/v1")
    return prefilled, replace(endpoint, base_url=root + prefill.path)


class _Prefilled:
    """A second response that continues the text of the first; usage counts both.

    Some providers repeat the prefilled text, which `_trim` removes.
    """

    def __init__(self, before: Exchange, echo: str) -> None:
        self.sum = before.sum
        self.undelivered = before.undelivered
        self.decoder: Decoder | None = None
        self.build_request: Callable[[Request, Endpoint], HttpRequest] | None = None
        # Usage.
        self._first_usage = self.sum.usage if isinstance(self.sum.usage, Mapping) else {}
        self._second_usage: dict[str, Any] = {}
        # A response that its length cut off has ended, so its count is whole.
        self._is_counted = before.is_cut_off and before.sum.counted
        # The repetition.
        self._echo = echo  # the text that the second response may repeat
        self._seen = ""  # its text so far, which may turn out to be the repetition

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` without the repeated text, with the usage of both responses."""
        for chunk in chunks:
            for choice in chunk.get("choices") or ():
                self._trim(choice)
            if isinstance(usage := chunk.get("usage"), Mapping):
                broken = self._first_usage.get("interrupted_requests", 0) + (not self._is_counted)
                self._second_usage = merged(self._second_usage, usage)
                both = _added(self._first_usage, self._second_usage)
                chunk["usage"] = {**both, **({"interrupted_requests": broken} if broken else {})}
        return chunks

    def _trim(self, choice: dict[str, Any]) -> None:
        """Remove the repeated text from a choice; keep text back while it may be a repetition."""
        delta = choice.get("delta") or {}
        text = delta.get("content")
        if not self._echo or not (text or choice.get("finish_reason")):
            return
        seen = self._seen + (text or "")
        if choice.get("finish_reason") or not self._echo.startswith(seen[: len(self._echo)]):
            new = seen.removeprefix(self._echo)
        elif len(seen) >= len(self._echo):
            new = seen[len(self._echo) :]
        else:
            self._seen = seen
            delta["content"] = ""
            return
        self._echo = self._seen = ""
        delta["content"] = new
        choice["delta"] = delta


class _Resumed:
    """The same response, read on by another request."""

    def __init__(
        self, before: Exchange, build_request: Callable[[Request, Endpoint], HttpRequest]
    ) -> None:
        self.sum = before.sum
        self.undelivered = before.undelivered
        self.decoder = before.decoder
        self.build_request: Callable[[Request, Endpoint], HttpRequest] | None = build_request

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` as they are."""
        return chunks


def _resumed(before: Exchange, endpoint: Endpoint) -> _Resumed:
    head = before.completion()
    resume: Any = getattr(wires.load(endpoint.wire), "resume_request")  # noqa: B009
    return _Resumed(before, partial(resume, id=head["id"], after=head.get("sequence_number", 0)))


def _added(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of two usages by field; the later value counts if it is not a number."""
    summed = merged(mine, theirs)
    for name in mine.keys() & theirs.keys():
        one, two = mine[name], theirs[name]
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            summed[name] = _added(one, two)
        elif isinstance(one, (int, float)) and isinstance(two, (int, float)):
            summed[name] = one + two
    return summed
