"""How the answers of a job came about: by which mode, and how often the model was asked again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from transforms.elements import Completion, answer_facts
from transforms.labels import add_bounded


class AnswerTotals:
    """The sum over some completions with answers."""

    def __init__(self) -> None:
        self.modes: Counter[str] = Counter()
        self.reasks = 0
        self.rows_asked_again = 0
        self.stripped = 0
        self.saved = 0

    def add(self, row: Completion) -> None:
        """Count one completion, if it has an answer."""
        facts = answer_facts(row.completion)
        if facts is None:
            return
        reasks = int(facts.get("reasks") or 0)
        add_bounded(self.modes, {str(facts.get("mode")): 1})
        self.reasks += reasks
        self.rows_asked_again += reasks > 0
        self.stripped += bool(facts.get("stripped"))
        self.saved += int(facts.get("tokens_saved") or 0)

    def merge(self, other: AnswerTotals) -> None:
        """Add the counts of `other`."""
        add_bounded(self.modes, other.modes)
        self.reasks += other.reasks
        self.rows_asked_again += other.rows_asked_again
        self.stripped += other.stripped
        self.saved += other.saved

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of the report; nothing without answers.

        `reasks` counts the requests after the first one of completed rows. `tokens_saved_estimated`
        are tokens that wrong answers would have had after the point at which they were stopped.
        """
        if not self.modes:
            return {}
        counts = {
            "modes": dict(self.modes.most_common()),
            "reasks": self.reasks,
            "rows_asked_again": self.rows_asked_again,
            "stripped": self.stripped,
            "tokens_saved_estimated": self.saved,
        }
        return {"answers": counts}
