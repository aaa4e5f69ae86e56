"""`ritellm.records`: the elements of a streamed completion as an iterator. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import Any

from ritellm.structured.chunks import ChunkElements
from ritellm.structured.elements import Element
from ritellm.structured.errors import JsonError
from ritellm.structured.paths import parse_path
from ritellm.structured.scanner import MAX_CHARS


class Records(Iterator[Element], AsyncIterator[Element]):
    """The elements of one completion as they close; read it with `for` or with `async for`.

    When it has ended, `finish_reason` says why the model stopped, `truncated` whether the answer
    ended inside the JSON, `rest` is the text after the JSON, and `count` the number of elements of
    the newest attempt. An attempt that starts again starts the elements again: `attempt` of an
    element tells them apart.
    """

    def __init__(self, stream: Any, path: str, max_chars: int = MAX_CHARS) -> None:
        self._path, self._max_chars = parse_path(path), max_chars
        self._stream = stream
        self._state = ChunkElements(self._path, max_chars=max_chars)
        self._chunks: Any = None
        self._ready: list[Element] = []  # the next one is the last
        self._error: JsonError | None = None
        self._has_ended = False

    def __iter__(self) -> Records:
        return self

    def __aiter__(self) -> Records:
        return self

    def __next__(self) -> Element:
        if self._chunks is None:
            self._chunks = iter(self._stream)
        while not self._ready:
            self._check()
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._end()
            else:
                self._feed(chunk)
        return self._ready.pop()

    async def __anext__(self) -> Element:
        if self._chunks is None:
            self._chunks = self._stream.__aiter__()
        while not self._ready:
            self._check(StopAsyncIteration)
            try:
                chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                self._end()
            else:
                self._feed(chunk)
        return self._ready.pop()

    def close(self) -> None:
        """Leave the stream, which ends the request at the provider."""
        with suppress(AttributeError):
            self._stream.close()

    async def aclose(self) -> None:
        """Leave the stream, which ends the request at the provider."""
        with suppress(AttributeError):
            await self._stream.aclose()

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, once it has."""
        return self._state.finish_reason

    @property
    def truncated(self) -> bool:
        """Whether the answer has ended inside the JSON."""
        return self._state.truncated

    @property
    def rest(self) -> str:
        """The text after the JSON so far."""
        return self._state.rest

    @property
    def count(self) -> int:
        """The number of elements so far, of the newest attempt."""
        return self._state.count

    @property
    def attempt(self) -> int:
        """The newest attempt, from 1."""
        return self._state.attempt

    def _check(self, stop: type[Exception] = StopIteration) -> None:
        """Raise what has been noted for the time after the last element."""
        if self._error is not None:
            raise self._error
        if self._has_ended:
            raise stop

    def _feed(self, chunk: Any) -> None:
        attempt = getattr(chunk, "attempt", 1)
        if attempt > self._state.attempt:
            self._state = ChunkElements(self._path, attempt=attempt, max_chars=self._max_chars)
        try:
            self._ready = self._state.elements(chunk)[::-1]
        except JsonError as error:
            self._ready, self._error = self._state.taken()[::-1], error

    def _end(self) -> None:
        self._has_ended = True
        try:
            self._state.close()
        except JsonError as error:
            self._error = error


def records(
    stream: Iterable[Any] | AsyncIterable[Any], path: str, *, max_chars: int = MAX_CHARS
) -> Records:
    """Return the elements at `path` in the JSON that `stream` brings, each as soon as it closes.

    `stream` is what `completion(..., stream=True)` or `acompletion` returned, or its chunks. `path`
    is a small part of JSONPath: `$.items[*]`, `$.answer`, `$[*]`. The JSON may be the text, follow
    prose, be in a code fence, be JSON lines (`$[*]`), or be the arguments of a tool call.

    Raises ValueError for another path. Reading the elements raises JsonError (a ValueError) when
    the text is not JSON, or has none with that path, and the errors of the stream. An element has
    at most `max_chars` characters.
    """
    return Records(stream, path, max_chars)
