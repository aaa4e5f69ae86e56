"""What the prompts of a transform have in common: the model, its parameters, what is wanted of it.

No Beam, no HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ritellm.prices import PRICES, Price
from transforms.elements import Completion, DeadLetter, Outcome
from transforms.worker.recorded import entries
from transforms.worker.requests import PromptRequest
from transforms.worker.stops.stop_conditions import StopWhen
from transforms.worker.stops.stop_requests import NewStops, StopRequests
from transforms.worker.submissions import replayed

if TYPE_CHECKING:
    from ritellm import Answer, AsyncStream
    from ritellm.answers.watch import Watch
    from transforms.worker.records.recording import Recording


@dataclass(frozen=True)
class CompleterOptions:
    """What the completions of all prompts have in common.

    `params` are arguments of `ritellm.completion` for each. `rate_limiter` is Beam's, for a limit
    that holds across workers; it may block. `prices` give a completion's `cost_usd`. With an
    `answer`, each completion has a valid one. With `stop_when`, a stream is left once it has enough
    records. `stops` makes the requests of readers to stop, and `stop_requests` are those of this
    process.

    With `completions`, the completions are outcomes, too. `base_url` is where the client sends
    requests. With `dedupe` equal requests share one completion, if the journal has it or it is in
    flight in this process. With `records`, they come in place of deltas.
    """

    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    deltas: bool = True
    rate_limiter: Any = None
    prices: Mapping[str, Price] = field(default_factory=lambda: PRICES)
    answer: Answer | None = None
    stop_when: StopWhen | None = None
    stops: NewStops | None = None
    stop_requests: StopRequests | None = field(default=None, compare=False, repr=False)
    completions: bool = False
    base_url: str | None = None  # a part of a completion's key
    dedupe: bool = False
    records: Recording | None = None

    @property
    def reads_chunks(self) -> bool:
        """Whether the chunks of a stream are of use, not only their sum."""
        return self.deltas or self.answer is not None or self.stop_when is not None

    def watch(self, stream: AsyncStream) -> Watch | None:
        """Return what finds out that the answer of `stream` cannot become valid."""
        if self.answer is None:
            return None
        from ritellm.answers.watch import Watch

        return Watch(self.answer, stream.answer_mode)

    @property
    def keyed_params(self) -> Mapping[str, Any]:
        """The parameters of all rows that are part of a completion's key."""
        if self.stop_when is not None:
            return {**self.params, "stop_when": self.stop_when.key}
        return self.params if self.answer is None else {**self.params, "answer": self.answer.key}

    @property
    def may_ask_again(self) -> bool:
        """Whether a row may take several requests, one after the other."""
        return self.answer is not None or self.records is not None

    def outcomes_of(
        self, request: PromptRequest, end: Completion | DeadLetter, last: int = 0
    ) -> Iterator[Outcome]:
        """Yield the outcomes for `end`, which another request or an earlier run has reached.

        `last` is the order of the last submission that the journal knows.
        """
        if self.deltas and isinstance(end, Completion):
            submission = replayed(request.digest, end, last)
            end = end._replace(submission=submission)
            yield from entries.as_deltas(end, submission)
        if self.completions or isinstance(end, DeadLetter):
            yield end
