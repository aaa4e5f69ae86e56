"""`on_interrupt="continue"`: an answer that broke off goes on, and nobody sees the seam. Pure.

Two ways: the Responses API keeps a background response, which can be listened to again until it is
cancelled; other providers are given the text so far as the beginning of their answer. Where a
provider documents neither, that is said before anything is sent.
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
# What a message may hold beside its text and still be gone on with.
_PLAIN = frozenset({"content", "provider_specific_fields", "role"})


def prepared(request: Request, endpoint: Endpoint) -> Request:
    """Return `request` so that its answer can be taken up; raises InvalidRequestError."""
    if _in_background(endpoint):
        if request.extra_body.get("store", request.params.get("store")) is False:
            raise _cannot(endpoint, "without store=True")
        return replace(request, extra_body={**request.extra_body, "background": True})
    prefill = endpoint.provider.quirks.prefill
    if prefill is None:
        raise _cannot(endpoint, "")
    if not any(fnmatchcase(request.model, pattern) for pattern in prefill.models):
        raise _cannot(endpoint, f"with {request.model}")
    if said := sorted(prefill.unless & request.params.keys()):
        raise _cannot(endpoint, f"with {said[0]}")
    if request.params.get("n") not in (None, 1):
        raise _cannot(endpoint, "with n above 1")
    if request.messages[-1].get("role") == "assistant":
        raise _cannot(endpoint, "when the last message is the assistant's already")
    return request


def can_go_on(before: Exchange, endpoint: Endpoint) -> bool:
    """Return whether `endpoint` can go on with what `before` has brought."""
    if _in_background(endpoint):
        same = endpoint.provider is before.endpoint.provider and before.decoder is not None
        return same and bool(before.completion().get("id"))
    message = _message(before)
    return not any(value for name, value in message.items() if name not in _PLAIN)


def go_on(before: Exchange, request: Request, endpoint: Endpoint, asked: int) -> Exchange:
    """Return the exchange that goes on with the answer of `before`, under the same attempt."""
    if _in_background(endpoint):
        listened = _listened(before, endpoint)
        return Exchange(request, endpoint, before.attempt, asked=asked, taken_up=listened)
    prefill = endpoint.provider.quirks.prefill or Prefill()
    text = _message(before).get("content") or ""
    begun = text.rstrip() if prefill.strips else text
    echo = text if prefill.echoes else text[len(begun) :]
    if begun:
        request, endpoint = _asked_to_go_on(request, endpoint, prefill, begun)
    joint = _Joint(before, echo if begun else "")
    return Exchange(request, endpoint, before.attempt, asked=asked, taken_up=joint)


def cancellation(left: Exchange, request: Request) -> HttpRequest | None:
    """Return what stops the provider where it would go on with an answer that nobody awaits.

    None where closing the connection does that, or there is nothing left to stop.
    """
    endpoint, error = left.endpoint, left.error
    if not _in_background(endpoint) or endpoint.tape is not None or left.complete:
        return None
    told = error is not None and not isinstance(error, (APIConnectionError, Timeout))
    id = left.completion().get("id")
    if told or not id:
        return None
    cancel: Any = getattr(wires.load(endpoint.wire), "cancel_request")  # noqa: B009
    return cast(HttpRequest, cancel(request, endpoint, id))


def _in_background(endpoint: Endpoint) -> bool:
    return endpoint.provider.quirks.background and endpoint.wire in _RESPONSES


def _cannot(endpoint: Endpoint, why: str) -> InvalidRequestError:
    name = endpoint.provider.name
    return InvalidRequestError(
        f"{' '.join(f'{name} cannot go on with an answer {why}'.split())}:"
        " take on_interrupt='restart' or 'raise'",
        provider=name,
    )


def _message(before: Exchange) -> Mapping[str, Any]:
    choices = before.completion().get("choices") or [{"message": {}}]
    message: Mapping[str, Any] = choices[0]["message"]
    return message


def _asked_to_go_on(
    request: Request, endpoint: Endpoint, prefill: Prefill, text: str
) -> tuple[Request, Endpoint]:
    begun = {"role": "assistant", "content": text, **prefill.message}
    body = {**request.extra_body, **prefill.body}
    asked = replace(request, messages=[*request.messages, begun], extra_body=body)
    if not prefill.path:
        return asked, endpoint
    root = endpoint.base_url.rstrip("/").removesuffix("/chat/completions")
    root = root.removesuffix(prefill.path).removesuffix("/v1")
    return asked, replace(endpoint, base_url=root + prefill.path)


class _Joint:
    """A second answer that follows on a first: no text twice, and both are counted."""

    def __init__(self, before: Exchange, echo: str) -> None:
        self.sum = before.sum
        self.undelivered = before.undelivered
        self.decoder: Decoder | None = None
        self.listen: Callable[[Request, Endpoint], HttpRequest] | None = None
        self._spent = self.sum.usage if isinstance(self.sum.usage, Mapping) else {}
        self._counted: dict[str, Any] = {}  # of the second answer
        self._echo = echo
        self._held = ""

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` without the repeated beginning, with the usage of both."""
        for chunk in chunks:
            for choice in chunk.get("choices") or ():
                self._trim(choice)
            if isinstance(usage := chunk.get("usage"), Mapping):
                broken = self._spent.get("interrupted_requests", 0) + 1
                self._counted = merged(self._counted, usage)
                both = _added(self._spent, self._counted)
                chunk["usage"] = {**both, "interrupted_requests": broken}
        return chunks

    def _trim(self, choice: dict[str, Any]) -> None:
        """Take what repeats the beginning out of a choice; hold back what may yet turn out so."""
        delta = choice.get("delta") or {}
        text = delta.get("content")
        if not self._echo or not (text or choice.get("finish_reason")):
            return
        held = self._held + (text or "")
        if choice.get("finish_reason") or not self._echo.startswith(held[: len(self._echo)]):
            said = held.removeprefix(self._echo)
        elif len(held) >= len(self._echo):
            said = held[len(self._echo) :]
        else:
            self._held = held
            delta["content"] = ""
            return
        self._echo = self._held = ""
        delta["content"] = said
        choice["delta"] = delta


class _Listened:
    """The same answer, listened to again."""

    def __init__(
        self, before: Exchange, listen: Callable[[Request, Endpoint], HttpRequest] | None
    ) -> None:
        self.sum = before.sum
        self.undelivered = before.undelivered
        self.decoder = before.decoder
        self.listen = listen

    def join(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return `chunks` as they are."""
        return chunks


def _listened(before: Exchange, endpoint: Endpoint) -> _Listened:
    head = before.completion()
    resume: Any = getattr(wires.load(endpoint.wire), "resume_request")  # noqa: B009
    return _Listened(before, partial(resume, id=head["id"], after=head.get("sequence_number", 0)))


def _added(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of two usages, field by field; what is no number is the later one's."""
    summed = merged(mine, theirs)
    for name in mine.keys() & theirs.keys():
        one, two = mine[name], theirs[name]
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            summed[name] = _added(one, two)
        elif isinstance(one, (int, float)) and isinstance(two, (int, float)):
            summed[name] = one + two
    return summed
