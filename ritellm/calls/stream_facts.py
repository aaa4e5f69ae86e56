"""Usage, timing and attempts of a stream, as properties that both faces share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ritellm.errors import StreamTruncatedError
from ritellm.timing import Timing
from ritellm.types import Completion, Discarded

if TYPE_CHECKING:
    from ritellm.calls.call import Call


class StreamFacts:
    """Usage, timing, attempts and the completion so far of a stream."""

    _call: Call

    @property
    def completion(self) -> Completion:
        """The completion so far; it is whole once the stream has ended without an error."""
        return self._call.completion()

    def pieces(self, field: str, start: int) -> list[Any]:
        """Return what `field` of the delta has gained, from piece `start` of the attempt on.

        This is for a viewer in any thread, who looks at a stream that others read. The first choice
        counts.
        """
        exchange = self._call.exchange
        return exchange.sum.pieces(field, start) if exchange is not None else []

    @property
    def _hidden_params(self) -> dict[str, Any]:
        """litellm's: the provider, the model, and the cost of the completion so far."""
        hidden: dict[str, Any] = self.completion._hidden_params
        return hidden

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens as the provider counted them, or None if it has not."""
        return self._call.current.sum.usage

    @property
    def service_tier(self) -> str | None:
        """The tier beside the choices, if it has arrived; `usage` may name one too."""
        return self._call.current.sum.service_tier

    @property
    def discarded(self) -> list[Discarded]:
        """The accepted attempts that a newer one replaced: the provider bills them, too."""
        return [*self._call.discarded]

    def _interrupted(self) -> StreamTruncatedError:
        """Return the error of a caller who reads on after an interrupted wait."""
        exchange = self._call.exchange
        return StreamTruncatedError(
            "a wait for this stream was interrupted; the rest of the answer is lost",
            provider=exchange.endpoint.provider.name if exchange else None,
            model=self._call.plan.request.model,
            partial=exchange.completion() if exchange and exchange.sum.count else None,
            attempts=self._call.attempts,
            retryable=False,
        )

    def as_discarded(self) -> list[Discarded]:
        """Return `discarded` and the newest attempt, for a caller who discards the response."""
        newest = self._call.exchange.discarded() if self._call.exchange else None
        return self.discarded + ([newest] if newest else [])

    @property
    def timing(self) -> Timing:
        """When the chunks arrived: `ttft`, `inter_chunk`, `total`, in seconds."""
        return self._call.timing

    @property
    def length(self) -> int:
        """The number of chunks of the newest attempt: the next one's `seq`."""
        return self._call.current.sum.count

    @property
    def model(self) -> str:
        """The "provider/model" of the newest attempt, which may be a fallback."""
        return f"{self._call.current.endpoint.provider.name}/{self._call.plan.request.model}"

    @property
    def has_ended(self) -> bool:
        """Whether a finish_reason has arrived for each choice so far."""
        choices = self._call.completion().get("choices") or ()
        return bool(choices) and all(choice.get("finish_reason") for choice in choices)

    @property
    def answer_mode(self) -> str:
        """How the model was asked for an answer with a schema, "" if it was not."""
        wanted = self._call.plan.wanted
        return "" if wanted is None else wanted.mode

    @property
    def attempt(self) -> int:
        """The attempt number of the newest chunks; a continued answer keeps its number."""
        return self._call.current.attempt

    @property
    def attempts(self) -> int:
        """The number of requests that were sent."""
        return self._call.attempts
