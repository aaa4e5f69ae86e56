"""The report of a job: counts, tokens, cost and times of all rows, added up in any order.

The steps that write rows add them to `Totals`, and `pipelines.outputs.shards.finish` merges these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from pipelines.inputs.columns import UnusedColumn
from pipelines.outputs.answer_totals import AnswerTotals
from pipelines.outputs.spending import Earlier, Wasted
from pipelines.pages.details import Details
from pipelines.pages.options import PageOptions
from ritellm.quantiles import Quantiles
from transforms.elements import Completion, DeadLetter
from transforms.labels import add_bounded
from transforms.metrics import has_usage
from transforms.pacing import Pacing

Reported = Completion | DeadLetter | UnusedColumn | Pacing

_TOKENS = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
_NO_CONTENT = {"content", "reasoning", "reasoning_content", "role", "thinking_blocks"}
_LONGEST_EXAMPLE = 300  # characters of a message
_Number = TypeVar("_Number", int, float)


def is_empty(row: Completion) -> bool:
    """Return whether the model finished without any content: no text, tool call or refusal."""
    if row.text.strip() or row.finish_reason != "stop":
        return False
    message = (orjson.loads(row.completion).get("choices") or [{}])[0].get("message") or {}
    return not any(value for name, value in message.items() if name not in _NO_CONTENT)


class Totals:
    """The sum over some rows; `page` says how much its page shows of them."""

    def __init__(self, page: PageOptions | None = None) -> None:
        self.details = Details(page)
        self.completed = 0
        self.failed = 0
        self.replayed = 0
        self.shared = 0
        self.attempts = 0
        self.empty = 0  # completions without any content
        self.earlier = Earlier()
        self.answers = AnswerTotals()
        self.unused_columns: dict[str, str] = {}
        self.cost_usd = 0.0
        self.unpriced = 0  # rows with usage and without a price
        self.uncounted = 0  # rows whose server sent no usage
        self.unknown_costs = 0
        self.wasted = Wasted()
        self.pacing = Pacing()
        self.tokens: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()  # the rows in each sum of tokens
        self.finish_reasons: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.error_examples: dict[str, str] = {}  # the first message of each class by its text
        self.ttft = Quantiles()
        self.seconds = Quantiles()
        self.started_at: float | None = None
        self.ended_at: float | None = None

    def add(self, row: Reported) -> None:
        """Count one outcome, note a column that was not sent, or add refusals and waits."""
        if isinstance(row, Pacing):
            self.pacing += row
            return
        if isinstance(row, UnusedColumn):
            self.unused_columns[row.name] = row.remedy
            return
        self.details.add(row)
        if isinstance(row, DeadLetter):
            self.attempts += row.attempts
            self.failed += 1
            add_bounded(self.errors, {row.error_type: 1})
            if self.details.options.text != "none":
                self._keep_example(row.error_type, row.message[:_LONGEST_EXAMPLE])
            self.wasted.add(row)
            if row.usage is not None:
                self._cost(row.cost_usd)
            return
        self.completed += 1
        add_bounded(self.finish_reasons, {str(row.finish_reason): 1})
        self.empty += is_empty(row)
        self.answers.add(row)
        if row.shared:  # another row paid for it
            self.shared += 1
            return
        if row.replayed:  # an earlier run paid for it, and measured its times
            self.replayed += 1
            self.earlier.add(row)
            return
        self.wasted.add(row)
        self._count(row)
        self.attempts += row.attempts
        self._time(row)

    def _keep_example(self, name: str, message: str) -> None:
        if name in self.errors:  # which has a bounded number of names
            self.error_examples[name] = min(message, self.error_examples.get(name, message))

    def _count(self, row: Completion) -> None:
        if not has_usage(row):
            self.uncounted += 1
            self.unknown_costs += row.cost_usd is None
            return
        self._cost(row.cost_usd)
        for name in _TOKENS:
            if (tokens := getattr(row, name)) is not None:
                self.tokens[name] += tokens
                self.counted[name] += 1

    def _cost(self, usd: float | None) -> None:
        self.cost_usd += usd or 0.0
        self.unpriced += usd is None
        self.unknown_costs += usd is None

    def _time(self, row: Completion) -> None:
        if row.ttft is not None:
            self.ttft.add(row.ttft)
        if row.seconds is not None and row.ended_at is not None:
            self.seconds.add(row.seconds)
            self._span(row.ended_at - row.seconds, row.ended_at)

    def _span(self, start: float | None, end: float | None) -> None:
        if start is not None and end is not None:
            self.started_at = min(start, self.started_at or start)
            self.ended_at = max(end, self.ended_at or end)

    def merge(self, other: Totals) -> None:
        """Add the counts of `other`."""
        self.details.merge(other.details)
        self.completed += other.completed
        self.failed += other.failed
        self.replayed += other.replayed
        self.shared += other.shared
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced
        self.uncounted += other.uncounted
        self.unknown_costs += other.unknown_costs
        self.empty += other.empty
        self.earlier.merge(other.earlier)
        self.answers.merge(other.answers)
        self.wasted.merge(other.wasted)
        self.pacing += other.pacing
        self.attempts += other.attempts
        self.unused_columns.update(other.unused_columns)
        for mine, theirs in (
            (self.tokens, other.tokens),
            (self.counted, other.counted),
            (self.finish_reasons, other.finish_reasons),
            (self.errors, other.errors),
        ):
            add_bounded(mine, theirs)
        for name, message in other.error_examples.items():
            self._keep_example(name, message)
        self.ttft.merge([other.ttft])
        self.seconds.merge([other.seconds])
        self._span(other.started_at, other.ended_at)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object.

        Times are in seconds, None if no request was sent. Tokens are None if no server sent counts.
        """
        span = (self.ended_at or 0) - (self.started_at or 0)
        tokens = {name: self.tokens[name] if self.counted[name] else None for name in _TOKENS}
        written = tokens["completion_tokens"]
        return {
            "rows": self.completed + self.failed,
            "completed": self.completed,
            "failed": self.failed,
            "replayed": self.replayed,
            "shared": self.shared,
            "attempts": self.attempts,
            "empty": self.empty,
            "finish_reasons": dict(self.finish_reasons.most_common()),
            "errors": dict(self.errors.most_common()),
            "error_examples": dict(sorted(self.error_examples.items())),
            **self.answers.as_dict(),
            "unused_columns": dict(sorted(self.unused_columns.items())),
            "tokens": tokens,
            "rows_without_usage": self.uncounted,
            "cost_usd": None if self.unknown_costs else self.cost_usd,
            "rows_without_price": self.unpriced,
            "paid_earlier": self.earlier.as_dict(),
            "wasted": self.wasted.as_dict(),
            "refusals": _refusals(self.pacing),
            "held_back_seconds": {
                reason: round(s, 3) for reason, s in _most_first(self.pacing.seconds)
            },
            "ttft": {"p50": self.ttft.at(0.5), "p95": self.ttft.at(0.95)},
            "seconds_per_row": {"p50": self.seconds.at(0.5), "p95": self.seconds.at(0.95)},
            "tokens_per_second": written / span if span > 0 and written is not None else None,
            "rows_per_second": self.completed / span if span > 0 else None,
            "seconds": span if span > 0 else None,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }


def _refusals(pacing: Pacing) -> dict[str, Any]:
    """Return how many requests were refused, their share of those sent, and the reasons."""
    requests = sum(pacing.refused.values())
    share = requests / pacing.sent if pacing.sent else 0.0
    return {"requests": requests, "share": share, "by": dict(_most_first(pacing.refused))}


def _most_first(sums: Mapping[str, _Number]) -> list[tuple[str, _Number]]:
    return sorted(sums.items(), key=lambda item: -item[1])
