"""Opens an input file, compressed or not, and raises an error for one that is damaged.

The first bytes of a file decide how it is compressed. Its name does not: a browser may have
unpacked a `.gz` file and kept the name. Beam's own reader returns the first half of a file whose
end is missing, without an error.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"(\xb5/\xfd"
_MAGIC = (_GZIP, _BZIP2, _XZ, _ZSTD)
_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".deflate")
_BUFFER = 1 << 16
# One step of zstd may produce 40,000 times as many bytes as it reads.
_ZSTD_STEP = 1 << 10


class DamagedFile(Exception):
    """A file that cannot be read to its end; the message names it."""


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open the file at `path` for reading, and decompress it.

    Raises DamagedFile, also later while the caller reads, if the compressed data is wrong or ends
    too early.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            yield _decompressed(io.BufferedReader(_Readable(raw), _BUFFER), path)
    except EOFError:
        raise DamagedFile(
            f"the compressed data of {path} ends too early; replace it by the complete file"
        ) from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, _DamagedFrame) as error:
        raise DamagedFile(f"the compressed data of {path} is damaged: {error}") from None


def is_plain(path: str) -> bool:
    """Return whether the file at `path` is not compressed."""
    with open(path, "rb") as file:
        head = file.read(6)
    return not head.startswith(_MAGIC) and not _is_deflate(head, path)


def _decompressed(file: io.BufferedReader, path: str) -> BinaryIO:
    head = file.peek(6)[:6]
    if not head and path.lower().endswith(_SUFFIXES):
        raise EOFError
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if head.startswith(_BZIP2):
        return cast(BinaryIO, _Bz2(file))
    if head.startswith(_XZ) or (path.lower().endswith(".lzma") and head.startswith(b"]\x00\x00")):
        return cast(BinaryIO, lzma.LZMAFile(file))
    if head.startswith(_ZSTD):
        return io.BufferedReader(_Frames(file, _new_zstd, _ZSTD_STEP), _BUFFER)
    if _is_deflate(head, path):
        return io.BufferedReader(_Frames(file, zlib.decompressobj, _ZSTD_STEP), _BUFFER)
    return file


def _is_deflate(head: bytes, path: str) -> bool:
    return path.lower().endswith(".deflate") and head[:1] == b"x"


class _DamagedFrame(Exception):
    """Wrong data in a frame of zstd or bzip2."""


class _Bz2(bz2.BZ2File):
    """A bzip2 file; wrong data raises an error that is not one of the disk."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            raise _DamagedFrame(error) from None

    def readline(self, size: Any = -1) -> bytes:
        try:
            return super().readline(size)
        except OSError as error:
            raise _DamagedFrame(error) from None


def _new_zstd() -> Any:
    import zstandard  # a dependency of Beam

    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


class _Frames(io.RawIOBase):
    """Decompresses frame after frame; a frame without its end raises EOFError."""

    def __init__(self, file: BinaryIO, new: Any, step: int) -> None:
        self._file, self._new, self._step = file, new, step
        self._frame = new()
        self._left = b""
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            data = self._frame.unused_data if self._frame.eof else self._file.read(self._step)
            if self._frame.eof:
                data = data or self._file.read(self._step)
                if not data:
                    return 0
                self._frame = self._new()
            elif not data:
                raise EOFError
            try:
                self._left = self._frame.decompress(data)
            except zlib.error:
                raise
            except Exception as error:  # zstandard's own class
                raise _DamagedFrame(error) from None
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class _Readable(io.RawIOBase):
    """A Beam file as the raw stream that Python's buffers expect."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
