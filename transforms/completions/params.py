"""The keyword arguments of `StreamCompletions` and `CompletePrompts`, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ritellm.calls.params import CompletionParams

if TYPE_CHECKING:
    from ritellm.prices import Price
    from transforms.budget.ledger import NewLedger
    from transforms.journal import NewJournal
    from transforms.worker.stops.stop_conditions import StopWhen
    from transforms.worker.stops.stop_requests import NewStops


class JobParams(CompletionParams, total=False):
    """The parameters of `completion()`, and those of a job; `StreamCompletions` describes them."""

    max_in_flight: int
    rpm: float | None
    tpm: float | None
    give_up_after: float
    hedge_after: float | str | None
    rate_limiter: Any
    journal: NewJournal | None
    dedupe: bool
    budget: NewLedger | None
    prices: Mapping[str, Price]
    api_key_env: str | None
    api_key_secret: str | None
    api_key_file: str | None
    new_client: Callable[[], Any] | None
    commit_every: float | None
    shards: int
    drain_seconds: float
    stop_when: StopWhen | None
    stops: NewStops | None
    error_handler: Any  # Beam's ErrorHandler
