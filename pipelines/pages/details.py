"""What the page of a job shows beyond its report: how it went over time, and some of its rows.

A `Details` is a sum over rows, in bounded memory: any number of rows takes as much as some thousand
of them. Adding a row costs a few microseconds. Sums are merged in any order, with the same result.
"""

from __future__ import annotations

from collections import Counter

from pipelines.pages.options import PageOptions
from pipelines.pages.rows import shown
from pipelines.pages.samples import Least, rank
from pipelines.pages.timeline import Timeline
from ritellm.quantiles import Quantiles
from transforms.elements import Completion, DeadLetter
from transforms.labels import MOST_LABELS, OTHER

_SLOWEST = 20
_SAMPLES_OF_FAILURE = 5


class Bucket:
    """The rows that ended in a part of the time."""

    __slots__ = ("completed", "cost", "failed", "gap_p50", "gap_p95", "tokens", "ttft")

    def __init__(self) -> None:
        self.completed = 0
        self.failed = 0
        self.tokens = 0  # of completions
        self.cost = 0.0
        self.ttft = Quantiles()
        # The median and the 95th percentile of the gaps between the chunks of each row.
        self.gap_p50 = Quantiles()
        self.gap_p95 = Quantiles()

    def merge(self, other: Bucket) -> None:
        """Add the rows of `other`."""
        self.completed += other.completed
        self.failed += other.failed
        self.tokens += other.tokens
        self.cost += other.cost
        self.ttft.merge([other.ttft])
        self.gap_p50.merge([other.gap_p50])
        self.gap_p95.merge([other.gap_p95])


class Details:
    """The details of some rows; `options` bound how much of them is kept."""

    def __init__(self, options: PageOptions | None = None) -> None:
        self.options = options or PageOptions(0, "none")
        self.timeline: Timeline[Bucket] = Timeline(Bucket)
        self.rows = Least(self.options.rows)
        self.slowest = Least(_SLOWEST)
        self.failures: dict[str, Least] = {}
        # Rows by the number of binary digits of a length: 5 stands for 16 to 31 tokens.
        self.prompt_tokens: Counter[int] = Counter()
        self.completion_tokens: Counter[int] = Counter()

    def add(self, row: Completion | DeadLetter) -> None:
        """Add one row."""
        number = rank(row.id, row.place)
        if self.rows.wants(number):
            self.rows.offer(number, lambda: shown(row, self.options.text))
        if isinstance(row, DeadLetter):
            self._failed(row, number)
            return
        if row.replayed or row.shared:
            return  # another run, or another row, has their times and tokens
        if row.seconds is not None:
            if self.slowest.wants(-row.seconds):
                self.slowest.offer(-row.seconds, lambda: shown(row, self.options.text))
            if row.ended_at is not None:
                self._time(row, self.timeline.at(row.ended_at))
        if row.prompt_tokens is not None:
            self.prompt_tokens[row.prompt_tokens.bit_length()] += 1
        if row.completion_tokens is not None:
            self.completion_tokens[row.completion_tokens.bit_length()] += 1

    def merge(self, other: Details) -> None:
        """Add the details of `other`."""
        if other.options.rows > self.options.rows:
            self.options = other.options
        self.timeline.merge(other.timeline)
        self.rows.merge(other.rows)
        self.slowest.merge(other.slowest)
        for name, samples in sorted(other.failures.items()):
            self._samples(name).merge(samples)
        self.prompt_tokens.update(other.prompt_tokens)
        self.completion_tokens.update(other.completion_tokens)

    def _time(self, row: Completion, bucket: Bucket) -> None:
        bucket.completed += 1
        bucket.tokens += row.completion_tokens or 0
        bucket.cost += row.cost_usd or 0.0
        if row.ttft is not None:
            bucket.ttft.add(row.ttft)
        if row.inter_chunk_p50 is not None:
            bucket.gap_p50.add(row.inter_chunk_p50)
        if row.inter_chunk_p95 is not None:
            bucket.gap_p95.add(row.inter_chunk_p95)

    def _failed(self, letter: DeadLetter, number: int) -> None:
        self._samples(letter.error_type).offer(number, lambda: shown(letter, self.options.text))
        if letter.ended_at is not None and letter.attempts:
            bucket = self.timeline.at(letter.ended_at)
            bucket.failed += 1
            bucket.cost += letter.cost_usd or 0.0

    def _samples(self, name: str) -> Least:
        if name not in self.failures and len(self.failures) >= MOST_LABELS:
            name = OTHER
        return self.failures.setdefault(name, Least(_SAMPLES_OF_FAILURE))
