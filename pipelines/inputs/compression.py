"""Opens an input file, compressed or not, and raises an error for one that is damaged.

The first bytes of a file decide how it is compressed. Its name does not: a browser may have
unpacked a `.gz` file and kept the name. Python's and Beam's own readers return the first half of a
file whose end is missing, or ignore a damaged member after the first one, without an error.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import printable

_BUFFER = 1 << 16
# How much compressed data is decompressed at once. One step of zstd may produce 40,000 times as
# many bytes as it reads.
_STEP = 1 << 12
_ZSTD_STEP = 1 << 10
_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".deflate")
# The first bytes of zstd's frames without data, in which tools keep tables.
_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))


class DamagedFile(Exception):
    """A file that cannot be read to its end; the message names it."""


class _Method(NamedTuple):
    """How to decompress: what makes the decompressor of one frame, and how much it gets at once."""

    new: Callable[[], Any]
    step: int = _STEP
    padded: bool = False  # zero bytes may follow a frame


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open the file at `path` for reading, and decompress it.

    Raises DamagedFile, also later while the caller reads, if the compressed data is wrong or ends
    too early. What comes before that has been returned then.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            yield _decompressed(io.BufferedReader(_Readable(raw), _BUFFER), path)
    except EOFError:
        raise DamagedFile(
            f"the compressed data of {printable(path)} ends too early; replace it by the complete"
            " file"
        ) from None
    except (zlib.error, lzma.LZMAError, _DamagedFrame) as error:
        raise DamagedFile(
            f"the compressed data of {printable(path)} is damaged: {error}; replace it by a"
            " complete file"
        ) from None


def without_suffix(path: str) -> str:
    """Return `path` without the suffix of a compression."""
    lower = path.lower()
    suffix = next((each for each in _SUFFIXES if lower.endswith(each)), "")
    return path[: len(path) - len(suffix)]


def is_plain(path: str) -> bool:
    """Return whether the file at `path` is not compressed."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return _method(file.read(6), path) is None


def _decompressed(file: io.BufferedReader, path: str) -> BinaryIO:
    head = file.peek(6)[:6]
    if not head and path.lower().endswith(_SUFFIXES):
        raise EOFError
    method = _method(head, path)
    if method is None:
        return file
    return cast(BinaryIO, io.BufferedReader(_Frames(file, method), _BUFFER))


def _method(head: bytes, path: str) -> _Method | None:
    """Return how to decompress a file that begins with `head`; None if it is not compressed."""
    lower = path.lower()
    if head.startswith(b"\x1f\x8b"):
        return _Method(lambda: zlib.decompressobj(31), padded=True)
    if head.startswith(b"BZh"):
        return _Method(bz2.BZ2Decompressor)
    if head.startswith(b"\xfd7zXZ\x00"):
        return _Method(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), padded=True)
    if lower.endswith(".lzma") and head.startswith(b"]\x00\x00"):
        return _Method(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE))
    if head.startswith((b"(\xb5/\xfd", *_SKIPPABLE)):
        return _Method(_new_zstd, _ZSTD_STEP)
    if lower.endswith(".deflate") and head[:1] == b"x":
        return _Method(zlib.decompressobj)
    return None


class _DamagedFrame(Exception):
    """Wrong data in a frame of zstd or bzip2."""


def _new_zstd() -> Any:
    import zstandard  # a dependency of Beam

    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


class _Frames(io.RawIOBase):
    """Decompresses frame after frame; a frame without its end raises EOFError, at each read."""

    def __init__(self, file: BinaryIO, method: _Method) -> None:
        self._file, self._method = file, method
        self._frame = method.new()
        self._left = memoryview(b"")
        self._error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if self._error is not None:
                raise self._error
            data = self._next()
            if data is None:
                self._error = EOFError()
            elif not data:
                return 0
            else:
                self._decompress(data)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _decompress(self, data: bytes) -> None:
        try:
            self._left = memoryview(self._frame.decompress(data))
        except (zlib.error, lzma.LZMAError) as error:
            self._error = error
        except Exception as error:  # zstandard's own class, and OSError of bzip2
            self._error = _DamagedFrame(error)

    def _next(self) -> bytes | None:
        """Return the next compressed bytes; b"" after the last frame, None within one."""
        if not self._frame.eof:
            return self._file.read(self._method.step) or None
        rest = self._unpadded(self._frame.unused_data)
        while not rest:
            data = self._file.read(self._method.step)
            if not data:
                return b""
            rest = self._unpadded(data)
        self._frame = self._method.new()
        return rest

    def _unpadded(self, data: bytes) -> bytes:
        return data.lstrip(b"\0") if self._method.padded else data


class _Readable(io.RawIOBase):
    """A Beam file as the raw stream that Python's buffers expect."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
