"""What a stream tells about itself, whichever face it has. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ritellm.timing import Timing
from ritellm.types import Completion, Discarded

if TYPE_CHECKING:
    from ritellm.calls.call import Call


class StreamFacts:
    """What both faces' streams tell about themselves."""

    _call: Call

    @property
    def completion(self) -> Completion:
        """The answer so far; whole once the stream has ended without an error."""
        return self._call.completion()

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens as the provider counted them, or None if it has not."""
        return self._call.current.sum.usage

    @property
    def service_tier(self) -> str | None:
        """The tier beside the choices, as far as it has come; `usage` may name one too."""
        return self._call.current.sum.service_tier

    @property
    def discarded(self) -> list[Discarded]:
        """The attempts that were accepted and given up for a newer one: they are billed, too."""
        return [*self._call.discarded]

    def as_discarded(self) -> list[Discarded]:
        """Return `discarded` and the newest attempt, for a caller who throws the response away."""
        newest = self._call.exchange.discarded() if self._call.exchange else None
        return self.discarded + ([newest] if newest else [])

    @property
    def timing(self) -> Timing:
        """When the chunks came: `ttft`, `inter_chunk`, `total`, in seconds."""
        return self._call.timing

    @property
    def length(self) -> int:
        """How many chunks the newest attempt has brought: the next one's `seq`."""
        return self._call.current.sum.count

    @property
    def model(self) -> str:
        """Who is asked, "provider/model": a fallback, if it came to that."""
        return f"{self._call.current.endpoint.provider.name}/{self._call.plan.request.model}"

    @property
    def attempt(self) -> int:
        """What the newest chunks carry: an answer that goes on keeps its attempt."""
        return self._call.current.attempt

    @property
    def attempts(self) -> int:
        """How often the provider was asked."""
        return self._call.attempts
