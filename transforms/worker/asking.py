"""What a transform or `complete_all` asks a model with, from their arguments. No Beam, no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ritellm.prices import PRICES, Price
from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.journal import NewJournal
from transforms.worker.capacity import hedging
from transforms.worker.client.timeouts import timeouts_of
from transforms.worker.completer import Completer
from transforms.worker.factories import NewClient, NewResources
from transforms.worker.stops.stop_conditions import StopWhen
from transforms.worker.stops.stop_requests import NewStops

if TYPE_CHECKING:
    from ritellm import Answer


def asking(
    model: str,
    params: Mapping[str, Any],
    *,
    answer: Answer | None,
    limits: Limits,
    hedge_after: float | str | None,
    journal: NewJournal | None,
    budget: NewLedger | None,
    key: NewClient,
    new_client: Callable[[], Any] | None,
    stop_when: StopWhen | None,
    stops: NewStops | None = None,
    rate_limiter: Any = None,
    dedupe: bool = False,
    prices: Mapping[str, Price] = PRICES,
) -> tuple[Completer, NewResources]:
    """Return what completes a prompt, and what makes its resources in a process.

    `key` says where the key is; `base_url` is one of `params`. A `new_client` takes precedence.
    Raises ValueError for arguments that exclude each other, InvalidRequestError for a timeout.
    """
    kept = {name: value for name, value in params.items() if name != "base_url"}
    base_url = params.get("base_url")
    if new_client is None or not {"timeout", "request_timeout"}.isdisjoint(kept):
        kept["timeout"] = timeouts_of(kept)
    if dedupe and journal is None:
        raise ValueError("dedupe finds equal requests in the journal; pass a journal too")
    if answer is not None and stop_when is not None:
        raise ValueError("stop_when must be left out with an answer, which is always whole")
    hedging.parse(hedge_after)
    completer = Completer(
        model,
        kept,
        rate_limiter=rate_limiter,
        base_url=base_url,
        dedupe=dedupe,
        prices=prices,
        answer=answer,
        stop_when=stop_when,
        stops=stops,
    )
    make = new_client or replace(key, base_url=base_url)
    return completer, NewResources(make, limits, hedge_after, journal, budget)
