"""Files as streams of text. A file that is not in its encoding ends at the first wrong byte."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO, cast

from pipelines.inputs.compression import opened
from pipelines.inputs.readers.kinds import HEAD_BYTES
from pipelines.inputs.rows import UnreadableFile

_BUFFER = 1 << 16


@contextmanager
def text_of(path: str, encoding: str | None) -> Iterator[TextIO]:
    """Open the file at `path` as text without its byte order mark; line ends stay as they are.

    The text before a wrong byte is returned, then UnreadableFile is raised.
    """
    with opened(path) as file:
        text = io.TextIOWrapper(cast(Any, as_utf8(file, encoding)), "utf-8-sig", newline="")
        try:
            yield text
        finally:
            text.detach()


def as_utf8(file: BinaryIO, encoding: str | None) -> BinaryIO:
    """Return the text of `file` as UTF-8. Reading raises UnreadableFile at a wrong byte."""
    return cast(BinaryIO, io.BufferedReader(_Utf8(file, encoding or "utf-8"), _BUFFER))


def read_head(file: BinaryIO) -> bytes:
    """Return the first bytes of `file`, fewer if it is damaged; the next read says so again."""
    head = b""
    while len(head) < HEAD_BYTES:
        try:
            data = cast(io.BufferedReader, file).read1(HEAD_BYTES - len(head))
        except Exception:
            break
        if not data:
            break
        head += data
    return head


@contextmanager
def blocks_of(path: str, encoding: str | None) -> Iterator[Callable[[], str]]:
    """Open the file at `path` as text; what it yields returns the next block, "" at the end.

    Raises UnreadableFile or DamagedFile as `text_of`, after all of the text before.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with opened(path) as file:
        utf8 = cast(io.BufferedReader, as_utf8(file, encoding))

        def block() -> str:
            while data := utf8.read1(_BUFFER):
                if text := decoder.decode(data):
                    return text
            return ""

        yield block


class _Utf8(io.RawIOBase):
    """Decodes bytes and encodes them as UTF-8, only whole characters at a time."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left = memoryview(b"")
        self._read = 0
        self._ended = False
        self._fault: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if self._fault is not None:
                raise UnreadableFile(self._fault)
            if self._ended:
                return 0
            self._left = memoryview(self._next().encode())
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _next(self) -> str:
        data = self._file.read(_BUFFER)
        self._ended = not data
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeError as error:
            return self._before(error, state)
        self._read += len(data)
        return text

    def _before(self, error: UnicodeError, state: tuple[bytes, int]) -> str:
        """Return the text before a wrong byte, and note what is wrong."""
        if not isinstance(error, UnicodeDecodeError):  # UTF-16 without its byte order mark
            self._fault = f"the text must be {self._encoding}: {error}"
            return ""
        # The decoder had kept the bytes of a character that was not complete.
        at = self._read - len(state[0]) + error.start + 1
        wrong = f"0x{error.object[error.start]:02x} at byte {at:,}"
        remedy = "save the data as UTF-8, or name its encoding with --encoding"
        self._fault = f"the text must be {self._encoding.upper()}, got {wrong}; {remedy}"
        self._decoder.setstate(state)
        kept = len(state[0])
        return self._decoder.decode(error.object[kept : error.start])
