"""The DoFn that streams the prompts of a shard and commits what has come, several times a second.

    process(prompt)  keep it in the state, start its stream, set the timer; returns in milliseconds
    timer            take what has come since the cursor, emit it, set the timer if a prompt is open
    end of input     the watermark has passed everything: commit on, until `drain_seconds` are over

The state of a shard is small and written at each commit. The prompts are in a bag beside it, which
is read only if a stream is not in this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import apache_beam as beam
from apache_beam.coders import BytesCoder, TupleCoder, VarIntCoder, registry
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain

from transforms.committed.commits import Commits
from transforms.committed.process import ProcessStreams, find_streams
from transforms.committed.turn import Turn
from transforms.elements import DeadLetter, Outcome
from transforms.graph.jobs import JobDoFn
from transforms.metrics import Meter
from transforms.worker.capacity.room import ReadAhead
from transforms.worker.completer import Completer
from transforms.worker.factories import NewResources

# The key of dead letters of elements that are no prompts: they pass without state.
NO_SHARD = -1


def letter_coder(prompt_coder: WindowedValueCoder) -> WindowedValueCoder:
    """Return the coder of dead letters in the windows of `prompt_coder`."""
    return WindowedValueCoder(registry.get_coder(DeadLetter), prompt_coder.window_coder)


class CommittedFn(JobDoFn):
    """Streams the prompts of a shard. The input is `(shard, encoded windowed prompt)`."""

    STATE = userstate.ReadModifyWriteStateSpec("shard", BytesCoder())
    PROMPTS = userstate.BagStateSpec("prompts", TupleCoder((VarIntCoder(), BytesCoder())))
    COMMIT = userstate.TimerSpec("commit", TimeDomain.REAL_TIME)
    END = userstate.TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(
        self,
        completer: Completer,
        new_resources: NewResources,
        prompt_coder: WindowedValueCoder,
        tags: Mapping[type, str],
        main: str,
        commits: Commits,
    ) -> None:
        self._completer, self._new_resources = completer, new_resources
        self._tags, self._main = tags, main
        self.prompt_coder, self._letter_coder = prompt_coder, letter_coder(prompt_coder)
        self.every, self.drain = round(commits.every * 1000), round(commits.drain_seconds * 1000)
        self._transform = uuid4().hex  # the same in all copies of this DoFn
        self._seen: set[Any] = set()

    def setup(self) -> None:
        """Join this process's streams, or begin with them."""
        self.streams: ProcessStreams = find_streams(
            self._transform, self._completer, self._new_resources, self.job
        )
        self.meter = Meter(self.streams.resources)
        self._ahead = ReadAhead(self._new_resources.limits.max_in_flight)

    def teardown(self) -> None:
        """Leave the streams, which go on for the next DoFn."""
        del self.streams, self.meter

    def start_bundle(self) -> None:
        """Begin without a shard."""
        self._seen = set()

    def is_first_of_bundle(self, shard: Any) -> bool:
        """Return whether this bundle has not had `shard` before."""
        is_first = shard not in self._seen
        self._seen.add(shard)
        return is_first

    def is_full(self) -> bool:
        """Return whether the process has too many streams; those between two attempts are free."""
        return self._ahead.is_full(self.streams.open, self.streams.resources.room)

    def tagged(self, windowed: Any, outcome: Outcome) -> Any:
        """Return `outcome` for its output, with the timestamp and windows of its prompt."""
        tag = self._tags[type(outcome)]
        value = windowed.with_value(outcome)
        return value if tag == self._main else beam.pvalue.TaggedOutput(tag, value)

    def process(
        self,
        keyed: tuple[int, bytes],
        state: Any = beam.DoFn.StateParam(STATE),
        prompts: Any = beam.DoFn.StateParam(PROMPTS),
        commit: Any = beam.DoFn.TimerParam(COMMIT),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Start the stream of a prompt; wait only while this process has too many."""
        key, encoded = keyed
        if key == NO_SHARD:
            windowed = self._letter_coder.decode(encoded)
            self.meter.count([windowed.value])
            yield self.tagged(windowed, windowed.value)
            return
        turn = Turn(self, key, state, prompts)
        yield from turn.wait_for_room()
        turn.admit(encoded)
        turn.close(commit, end)

    @userstate.on_timer(COMMIT)  # type: ignore[untyped-decorator]
    def commit_shard(
        self,
        key: Any = beam.DoFn.KeyParam,
        state: Any = beam.DoFn.StateParam(STATE),
        prompts: Any = beam.DoFn.StateParam(PROMPTS),
        commit: Any = beam.DoFn.TimerParam(COMMIT),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Emit what has come for the open prompts of a shard."""
        turn = Turn(self, key, state, prompts)
        turn.wait_until_due()
        yield from turn.emit()
        turn.close(commit, end)

    @userstate.on_timer(END)  # type: ignore[untyped-decorator]
    def end_shard(
        self,
        key: Any = beam.DoFn.KeyParam,
        state: Any = beam.DoFn.StateParam(STATE),
        prompts: Any = beam.DoFn.StateParam(PROMPTS),
        commit: Any = beam.DoFn.TimerParam(COMMIT),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Commit on without new prompts, at the end of the input or when the job is drained."""
        turn = Turn(self, key, state, prompts)
        turn.end()
        turn.wait_until_due()
        yield from turn.emit()
        turn.close(commit, end)
