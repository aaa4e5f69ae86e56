"""Rebuild completions from published deltas, while the deltas still arrive. Pure.

The problem: a consumer reads deltas from a queue, which may deliver them in any order and more than
once. Many completions are open at the same time. A prompt may have several texts: of attempts that
were interrupted, and of submissions, since another process may send the prompt again.

The idea: one `Followed` for each prompt, with a sum for each of its texts. One of them is shown.
`Follower` turns each delta into events about the shown text.

The invariants:
- No gaps: a delta waits until all deltas before it have arrived.
- One story: a shown text is never joined from two submissions or attempts.
- The newest text is shown until one is whole. A whole text is only replaced by a newer whole one.
- A closed completion stays closed: its repeated deltas are dropped.

    first delta -> open -> all deltas up to the final one -> closed (Finished)
                   open -> a delta of a newer text -> open (Superseded)
                   open -> too many are open, or close() -> closed (Unfinished)
    closed (Finished) -> all deltas of a newer submission -> closed (Superseded, Finished)

What remains in the end does not depend on the order of the deltas: the newest whole text, else the
newest one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from ritellm.chunks.delta_events import Event
from ritellm.chunks.delta_rows import PromptKey, read_delta
from ritellm.chunks.followed import Followed, Shown


class Follower:
    """Follows any number of completions: `feed` takes a delta and returns the events it causes.

    A delta has the fields of `transforms.Delta`: as that row, as a mapping (also of strings, as
    Redis returns it), or as JSON. Without `submission`, attempts alone tell texts apart.

    Args:
        max_open: the number of completions that may be open. One more, and the one that has been
            silent longest is given up (`Unfinished`).
        remember: the number of closed completions whose id and submission are kept (about 500 bytes
            each; the text is freed at once). While an id is remembered, its repeated deltas are
            dropped. Later, a repeated delta cannot reopen the completion alone, since the deltas
            before it are missing; only all deltas from number 0 on would.
    """

    def __init__(self, *, max_open: int = 10_000, remember: int = 100_000) -> None:
        self._max_open, self._remember = max_open, remember
        self._open: OrderedDict[PromptKey, Followed] = OrderedDict()  # longest silent first
        self._closed: OrderedDict[PromptKey, Shown] = OrderedDict()  # oldest first

    def feed(self, delta: Any) -> list[Event]:
        """Return the events that `delta` causes; raises ValueError if it is not a delta."""
        row = read_delta(delta)
        followed = self._open.get(row.prompt)
        shown = followed.shown if followed else self._closed.get(row.prompt)
        if shown is not None and shown.refuses(row, is_open=followed is not None):
            return []
        if followed is None:
            followed = self._begin(row.prompt, shown)
        events = followed.add(row)
        # Keep the longest silent completion first: it is the one to give up.
        self._open.move_to_end(row.prompt)
        if followed.is_settled:
            self._close(followed)
        elif len(self._open) > self._max_open:
            events += self._give_up(next(iter(self._open.values())))
        return events

    def close(self) -> list[Event]:
        """Give up all open completions: there are no more deltas."""
        return [event for each in list(self._open.values()) for event in self._give_up(each)]

    def _begin(self, prompt: PromptKey, shown: Shown | None) -> Followed:
        self._closed.pop(prompt, None)
        followed = self._open[prompt] = Followed(prompt, shown)
        return followed

    def _give_up(self, followed: Followed) -> list[Event]:
        self._close(followed)
        return followed.unfinished()

    def _close(self, followed: Followed) -> None:
        del self._open[followed.prompt]
        if followed.shown is not None:
            self._closed[followed.prompt] = followed.shown
        if len(self._closed) > self._remember:
            self._closed.popitem(last=False)


def follow(
    deltas: Iterable[Any], *, max_open: int = 10_000, remember: int = 100_000
) -> Iterator[Event]:
    """Yield the events of the completions whose deltas arrive, in any order and with repetition.

    The events are growing texts (`Grown`), whole completions (`Finished`), void texts
    (`Superseded`), and at the end the incomplete ones (`Unfinished`). Asynchronous consumers use
    `Follower`, which explains the arguments. Raises ValueError for anything that is not a delta.
    """
    follower = Follower(max_open=max_open, remember=remember)
    for delta in deltas:
        yield from follower.feed(delta)
    yield from follower.close()
