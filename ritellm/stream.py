"""The chunks of a completion as they arrive, synchronously."""

from __future__ import annotations

from collections.abc import Iterator

from ritellm.calls.call import Call
from ritellm.calls.stream_facts import StreamFacts
from ritellm.errors import RitellmError
from ritellm.transports.base import Transport
from ritellm.transports.retry_loop import all_batches
from ritellm.types import Chunk, Completion


class Stream(StreamFacts, Iterator[Chunk]):
    """The chunks of one completion as they arrive. Leaving it early closes the connection."""

    def __init__(self, transport: Transport, call: Call) -> None:
        self._call = call
        self._is_cut = False  # a wait was interrupted, so the rest of the answer is lost
        # Without a reference to `self`, so that a dropped stream closes at once.
        self._batches = all_batches(transport, call)
        self._chunks = iter(next(self._batches))  # opens the stream, or raises the refusal

    def __next__(self) -> Chunk:
        while True:
            for chunk in self._chunks:
                return chunk
            if self._is_cut:
                raise self._interrupted()
            try:
                self._chunks = iter(next(self._batches))
            except (RitellmError, StopIteration):
                raise
            except BaseException:  # such as KeyboardInterrupt
                self._is_cut = True
                raise

    def read(self) -> Completion:
        """Return the whole completion."""
        for _ in self:
            pass
        return self.completion

    def close(self) -> None:
        """Leave the stream; the connection is closed unless the stream has ended."""
        self._batches.close()
        self._chunks = iter(())

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
