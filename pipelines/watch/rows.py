"""The page of a job from the rows that it has written: without `--watch`, or after its end.

The rows are those that `pipelines.results` prints: from the shards and the journal, each once. So
there are no growing texts, and of a completion that an earlier run paid for, its cost counts, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipelines.outputs.shards.names import PAGE, REPORT
from pipelines.pages.options import PageOptions
from pipelines.pages.page import MARK
from pipelines.results.elements import to_completion, to_dead_letter
from pipelines.results.folder import State
from pipelines.results.outcomes import Outcomes
from pipelines.watch.numbers import Numbers
from transforms.elements import Completion, DeadLetter

_SECONDS_BETWEEN_LOOKS = 1.0
_MOST_AT_ONCE = 200
_NOT_LIVE = (
    "texts as they grow, requests in flight and refusals, because the job runs without --watch or"
    " in other processes; rows appear as they are written"
)


class WrittenRows:
    """Adds up the rows of the job in `folder`, until it has ended or `stop` is set."""

    def __init__(self, folder: str) -> None:
        self._outcomes = Outcomes(folder, follows=True)
        facts = self._outcomes.job.facts
        # What a report has of them; the flags may be those of another version.
        known = ("model", "input", "params", "output_format", "output_table")
        about = {name: facts[name] for name in known if name in facts}
        self.numbers = Numbers(PageOptions(), about)
        self.stop = threading.Event()

    @property
    def job_state(self) -> State:
        """What the job did at the last look."""
        return self._outcomes.job.state

    def state(self) -> dict[str, Any]:
        """Return the state of the job for its page."""
        found = self.job_state
        missing = "; ".join((_NOT_LIVE, *self._outcomes.notes))
        running = found in (State.RUNNING, State.UNFINISHED)
        return {
            "running": running,
            "live": True,
            "stopped": found is State.STOPPED,
            "missing": missing,
        }

    def follow(self) -> None:
        """Add up the rows until the job has ended; raises what reading them raises."""
        while True:
            self._add(self._outcomes.completions, to_completion)
            self._add(self._outcomes.failures, to_dead_letter)
            ended = self.job_state in (State.DONE, State.STOPPED)
            if ended or self.stop.wait(_SECONDS_BETWEEN_LOOKS):
                return
            self._outcomes.look_again()

    def _add(
        self,
        found: Callable[[], Iterator[Any]],
        to_element: Callable[[Any], Completion | DeadLetter],
    ) -> None:
        rows = found()
        while batch := list(islice(rows, _MOST_AT_ONCE)):
            self.numbers.take_all(to_element(row.fields) for row in batch)
            if self.stop.is_set():
                return


def whole_page(folder: str) -> bytes | None:
    """Return the page that a finished job has written to `folder`, None without one."""
    path = FileSystems.join(folder, PAGE)
    if not all(FileSystems.exists(each) for each in (path, FileSystems.join(folder, REPORT))):
        return None
    with FileSystems.open(path) as file:
        text = bytes(file.read())
    return text if MARK in text[:4_096] else None
