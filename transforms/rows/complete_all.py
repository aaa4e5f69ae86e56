"""`complete_all`: dicts in, dicts out, without files and without a pipeline."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ritellm.prices import PRICES, Price
from ritellm.rate_limits.pace import Limits
from transforms.budget.accounts import Caps
from transforms.budget.ledger import NewLedger
from transforms.failure_limit import Counts, FailureLimit
from transforms.failures import MOST_REFUSED
from transforms.journal import NewJournal
from transforms.metrics import Tally
from transforms.prompts.row_prompts import row_prompts
from transforms.rows.calls import Calls, Done
from transforms.rows.journals import journal_of
from transforms.rows.order import AsCompleted, AsGiven
from transforms.rows.progress import Watch, counted, line
from transforms.rows.prompts import NumberedPrompts
from transforms.rows.results import Result, result_of
from transforms.rows.tables import count_of, rows_in
from transforms.worker.asking import asking
from transforms.worker.engine import Lease
from transforms.worker.factories import NewClient
from transforms.worker.stops.stop_conditions import StopWhen

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams

# Prompts in flight: the embedded model computes a few at once on the cores of this machine.
_LOCAL, _REMOTE = 4, 64


class Results(Iterator[Result]):
    """The results of `complete_all`, each a dict. `close` cancels what is in flight.

    A `with` block closes it too, and so does garbage collection.
    """

    def __init__(self, results: Generator[Result, None, None]) -> None:
        self._results = results

    def __next__(self) -> Result:
        """Return the next result; raises StopIteration after the last one."""
        return next(self._results)

    def close(self) -> None:
        """Cancel the requests in flight, and close the journal."""
        self._results.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def complete_all(
    rows: Iterable[Any],
    model: str,
    *,
    prompt: str | None = None,
    messages: str | None = None,
    template: str | None = None,
    system_template: str | None = None,
    images: str | None = None,
    images_root: str | None = None,
    shots: Sequence[Mapping[str, Any]] | None = None,
    id: str | None = None,
    param_columns: Sequence[str] = (),
    journal: str | os.PathLike[str] | NewJournal | None = None,
    in_order: bool = False,
    progress: bool | Watch = False,
    max_in_flight: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    give_up_after: float = 600.0,
    hedge_after: float | str | None = None,
    dedupe: bool = False,
    budget: float | Caps | NewLedger | None = None,
    prices: Mapping[str, Price] = PRICES,
    fail_above: float | None = None,
    most_refused: int | None = MOST_REFUSED,
    stop_when: StopWhen | None = None,
    api_key_env: str | None = None,
    api_key_file: str | None = None,
    new_client: Callable[[], Any] | None = None,
    **params: Unpack[CompletionParams],
) -> Results:
    """Complete `rows` with "provider/model"; return an iterator over one dict for each row.

    Rows are texts, dicts, NamedTuples or dataclasses, or the rows of a data frame or a table. They
    are read while their results leave, `max_in_flight` and a few at a time, so a generator may be
    endless. The dict of a result is described by `transforms.rows.results.Result`: `text` of a
    completed row, `error_type` and `message` of a failed one, and `input`, the row itself.

    Leaving the loop, or Ctrl-C, cancels what is in flight. With a `journal` the same call continues
    there: rows that it has are not sent again. A row without an id is found by its request.

    Args:
        model: "provider/model", such as "openai/gpt-4o-mini".
        rows: texts, dicts, NamedTuples or dataclasses, or a data frame or a table.
        prompt: the column with the text of the prompt, as in `ToPrompts`.
        messages: the column with the messages, as in `ToPrompts`.
        template: a Jinja2 template of the text over the columns, as in `ToPrompts`.
        system_template: a template of the system message.
        images: the column with an image of the row, or with a list of them.
        images_root: the folder of the paths in `images`.
        shots: example messages, which go first.
        id: the column with the id, as in `ToPrompts`.
        param_columns: the columns that are parameters of the request.
        journal: keeps finished completions: the path of an SQLite file, a folder (a path that ends
            with "/", or on a bucket), or a `transforms.journal.NewJournal`.
        in_order: whether results leave in the order of the rows. Otherwise they leave when they are
            complete.
        progress: True shows one line on stderr; a function is called with a
            `transforms.rows.progress.Progress` after each row.
        max_in_flight: the most requests in flight; 64, and 4 for the embedded model.
        rpm: requests a minute.
        tpm: tokens a minute.
        give_up_after: seconds of throttling, or of an outage, after which rows fail.
        hedge_after: seconds, or a percentile such as "p95", after which a late request is sent a
            second time.
        dedupe: whether equal requests share one completion; needs a journal.
        budget: USD, `Caps`, or a `NewLedger`; rows beyond it fail with BudgetExceeded and are not
            sent. Earlier runs on the journal count.
        prices: USD per million tokens of a model, for `cost_usd`; see `ritellm.prices`.
        fail_above: the share of failed rows, after 100 rows, above which TooManyFailures is raised.
        most_refused: after this many rows one after the other that were refused for the key, the
            account or the model, TooManyFailures is raised; None never raises it.
        stop_when: leaves each stream once it has enough records.
        api_key_env: the name of the variable that holds the key.
        api_key_file: the path of a file that holds the key.
        new_client: makes the `ritellm.AsyncClient`.
        params: parameters of `ritellm.completion` for every row, such as `api_key`, `temperature`
            and `answer`; the `param_columns` of a row override them.

    Raises TypeError, ValueError or RitellmError for wrong arguments, JournalError if the journal
    cannot be opened or another process uses it. The iterator raises TooManyFailures, and what
    `rows` raise, after the results of the rows before it.
    """
    source = rows_in(rows)
    form = row_prompts(
        "complete_all",
        prompt,
        messages=messages,
        template=template,
        system_template=system_template,
        images=images,
        images_root=images_root,
        shots=shots,
        id=id,
        param_columns=param_columns,
    )
    answer = params.pop("answer", None)
    most = max_in_flight or (_LOCAL if model.startswith("local/") else _REMOTE)
    completer, new_resources = asking(
        model,
        params,
        answer=answer,
        limits=Limits(most, rpm, tpm, give_up_after),
        hedge_after=hedge_after,
        journal=journal_of(journal),
        dedupe=dedupe,
        budget=_ledger(budget, model, prices),
        prices=prices,
        key=NewClient(api_key_env, None, None, api_key_file),
        new_client=new_client,
        stop_when=stop_when,
    )
    calls = Calls(
        source,
        NumberedPrompts(form),
        replace(completer, deltas=False, completions=True),
        new_resources,
        AsGiven[Done]() if in_order else AsCompleted[Done](),
        uuid4().hex,
    )
    limit = FailureLimit(fail_above, most_refused=most_refused or sys.maxsize)
    return Results(_results(calls, calls.lease(), limit, count_of(rows), progress))


def _results(
    calls: Calls, lease: Lease, limit: FailureLimit, total: int | None, progress: bool | Watch
) -> Generator[Result, None, None]:
    """Yield the results; at the end, in whatever way, give the lease back."""
    tally, counts = Tally(), Counts()
    watch = progress if callable(progress) else None
    try:
        tally.watch(lease.resources)
        with line(progress is True, total, tally), closing(calls.results(lease)) as done:
            for each in counted(done, tally, total, watch):
                counts.add(each.outcome)
                yield result_of(*each)
                counts.check(limit)
    finally:
        lease.release()


def _ledger(
    budget: float | Caps | NewLedger | None, model: str, prices: Mapping[str, Price]
) -> NewLedger | None:
    """Return what counts the budget; raises InvalidRequestError for a model without a price."""
    if budget is None or isinstance(budget, NewLedger):
        return budget
    if isinstance(budget, (int, float)) and not isinstance(budget, bool):
        if not 0 < budget < float("inf"):
            raise ValueError(f"budget must be an amount of USD above 0, got {budget!r}")
        budget = Caps(usd=budget)
    if not isinstance(budget, Caps):
        raise TypeError(f"budget must be USD, Caps or a NewLedger, got {budget!r}")
    new = NewLedger(budget, prices=dict(prices))
    new.check(model)
    return new
