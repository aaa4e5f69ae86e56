"""Writes the request and the response of an attempt to a file, in the `recordings.format`.

Each line is one write at the end of the file, so several calls and processes can share a file.

A file that cannot be written is an error before the first request. Later, a response may have been
paid for: the call goes on without its recording, and one warning says so.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import uuid4

import httpx
import orjson

from ritellm.calls.call import Call
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.instrumentation import logs
from ritellm.masking import REMOVED
from ritellm.recordings import format as recordings
from ritellm.transports.base import AnyResponse
from ritellm.transports.failures import FAILURES, as_ritellm_error
from ritellm.types import HttpRequest


class Recorder:
    """The recording of one attempt."""

    def __init__(self, path: str, call: Call, request: HttpRequest) -> None:
        call.tag = call.tag or uuid4().hex[:12]
        self._call, self._exchange, self._number = call, call.current, call.attempts
        self._mask = recordings.masker(call.current.endpoint, call.plan.request)
        self._is_opaque = False  # the body is compressed in a way that cannot be undone here
        self._started = time.monotonic()
        self._path, self._file = path, -1
        try:
            self._open(call, request)
        except (OSError, ValueError) as error:  # a ValueError: the path has a null character
            if call.attempts > 1:
                self._stop(error)
                return
            self._close()
            message = f"cannot record to {path}: {_reason(error)}"
            raise InvalidRequestError(message) from None

    def _open(self, call: Call, request: HttpRequest) -> None:
        """Open the file and write the request; raises OSError."""
        # The file contains prompts and responses: only its owner may read it.
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        line = recordings.request_line(
            self._exchange.endpoint, call.plan.request, request, call.plan.on_interrupt, self._mask
        )
        self._append({**line, "at": round(_now() - call.timing.started, 6)})

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Record a failure inside the block, where no response arrives."""
        try:
            yield
        except BaseException as error:
            self.end("error", self._failure(error))
            raise

    def attach(self, response: AnyResponse) -> None:
        """Record the body of `response`, which is not compressed, while it is read."""
        headers = response.headers
        self._is_opaque = "content-encoding" in headers  # a key would not be found in the data
        line = recordings.response_line(response.status_code, headers.multi_items(), self._mask)
        self._write(line)
        response.stream = _Tee(cast(_Stream, response.stream), self)

    def data(self, data: bytes) -> None:
        """Record a piece of the body."""
        if self._is_opaque:
            return
        if data := self._mask.feed(data):
            self._write(recordings.data_line(data))

    def end(self, how: str, error: RitellmError | None = None) -> None:
        """Record how the attempt ended, once."""
        if self._file < 0:
            return
        if self._is_opaque:
            self._write(recordings.data_line(REMOVED.encode()))
        elif held := self._mask.end():
            self._write(recordings.data_line(held))
        self._write(recordings.end_line(how, error, self._mask))
        self._close()

    def closed(self, broken: bool) -> None:
        """Record that the body is read no further: it broke, or the caller left."""
        error = self._exchange.error if broken else None
        self.end("error" if error else "closed", error)

    def _failure(self, error: BaseException) -> RitellmError | None:
        """Return this library's error for what was raised instead of a response."""
        if isinstance(error, FAILURES):
            return as_ritellm_error(error, self._call)
        deadline = self._call.deadline
        if deadline is not None and deadline[0] <= _now() + _EARLY:
            return self._call.timed_out(deadline[1])
        return None

    def _write(self, line: dict[str, Any]) -> None:
        """Record `line`; the call goes on if that is no longer possible."""
        if self._file < 0:
            return
        try:
            self._append(line)
        except OSError as error:
            self._stop(error)

    def _append(self, line: dict[str, Any]) -> None:
        """Write `line` to the end of the file; raises OSError."""
        offset = round(time.monotonic() - self._started, 6)
        named = {"call": self._call.tag, "attempt": self._number, "offset": offset, **line}
        data = memoryview(orjson.dumps(named) + b"\n")
        while data:
            data = data[os.write(self._file, data) :]

    def _stop(self, error: OSError | ValueError) -> None:
        """Record no more of this call, and say so."""
        self._close()
        self._call.records = False
        logs.unrecorded(self._call, self._path, _reason(error))

    def _close(self) -> None:
        file, self._file = self._file, -1
        with suppress(OSError):  # a disk of the network may report here that it is full
            if file >= 0:
                os.close(file)


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


# A timer may fire this many seconds early.
_EARLY = 0.05


def _now() -> float:
    """Return the time on the clock of the call."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body that either face reads."""


class _Tee(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, inner: _Stream, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder
        self._broken = False

    def __iter__(self) -> Iterator[bytes]:
        with self._noting_break():
            for data in self._inner:
                self._recorder.data(data)
                yield data
        self._recorder.end("end")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._noting_break():
            async for data in self._inner:
                self._recorder.data(data)
                yield data
        self._recorder.end("end")

    @contextmanager
    def _noting_break(self) -> Iterator[None]:
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException:
            self._broken = True
            raise

    def close(self) -> None:
        self._recorder.closed(self._broken)
        self._inner.close()

    async def aclose(self) -> None:
        self._recorder.closed(self._broken)
        await self._inner.aclose()
