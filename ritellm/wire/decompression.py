"""Decompresses the body of a response in bounded steps. No I/O and no clock.

Problem: two megabytes can decompress to gigabytes, and the libraries return all of it at once.

Idea: each step returns a piece of bounded size. zlib and brotli limit their output by themselves.
zstd gets so few bytes at a time that its output cannot be large. A body that becomes many times
larger than what arrived is an error (see `limits`).

No request asks for compression. Some servers and proxies compress nevertheless.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ritellm.errors import APIConnectionError, APIResponseValidationError
from ritellm.wire import limits

_PIECE = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# The most codings of one body, each around the one before.
_MOST_CODINGS = 3
# What 64 bytes of zstd can become is at most 3 MiB: a block of 128 KiB takes 4 bytes.
_ZSTD_STEP = 64
# The largest window of RFC 9659; a decoder allocates it at once.
_ZSTD_WINDOW = 8 * limits.MIB
_BROTLI_STEP = 16


class _Coding(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to."""


class Decompressor:
    """Undoes the codings of one body."""

    def __init__(self, codings: list[tuple[str, _Coding]]) -> None:
        self._codings = codings  # the outermost first
        self._received = 0
        self._made = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to, piece by piece.

        Raises APIConnectionError for damaged data, APIResponseValidationError beyond the limit.
        """
        self._received += len(data)
        return self._undo(data, 0)

    def _undo(self, data: bytes, at: int) -> Iterator[bytes]:
        if at == len(self._codings):
            yield data
            return
        name, coding = self._codings[at]
        try:
            for piece in coding.feed(data):
                self._count(len(piece))
                yield from self._undo(piece, at + 1)
        except (APIConnectionError, APIResponseValidationError):
            raise
        except Exception as error:  # each library has its own
            raise APIConnectionError(f"the response is not valid {name}: {error}") from None

    def _count(self, size: int) -> None:
        self._made += size
        most = limits.RATIO_APPLIES_ABOVE_BYTES
        ratio = limits.MAX_DECOMPRESSION_RATIO
        if self._made > max(most, ratio * self._received):
            raise APIResponseValidationError(
                f"the body of a response must decompress to at most {ratio} times its size"
                f" beyond {limits.size(most)}, got more",
                code="too_large",
            )


def decompressor(content_encoding: str) -> Decompressor:
    """Return what undoes the codings in a `content-encoding`.

    A coding of an unknown name is ignored: some servers put other words there. Raises
    APIResponseValidationError for a coding whose package is missing.
    """
    known = [name for name in reversed(_names(content_encoding)) if name in _CODINGS]
    if len(known) > _MOST_CODINGS:
        raise APIResponseValidationError(
            f"a response must have at most {_MOST_CODINGS} content codings, got {len(known)}"
        )
    return Decompressor([(name, _CODINGS[name]()) for name in known])


def unknown_codings(content_encoding: str) -> list[str]:
    """Return the codings that a decompressor ignores."""
    return [name for name in _names(content_encoding) if name not in {*_CODINGS, "identity"}]


def _names(content_encoding: str) -> list[str]:
    return [name for each in content_encoding.split(",") if (name := each.strip().lower())]


class _Gzip:
    """gzip, of one member or of several; what follows the last one is ignored."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._held = b""  # after a member: too few bytes to tell if another one begins

    def feed(self, data: bytes) -> Iterator[bytes]:
        data = self._held + data
        self._held = b""
        while data:
            if self._member.eof:
                if len(data) < len(_GZIP_MAGIC):
                    self._held = data
                    return
                if not data.startswith(_GZIP_MAGIC):
                    return
                self._member = zlib.decompressobj(wbits=31)
            yield from _inflated(self._member, data)
            data = self._member.unused_data


class _Deflate:
    """deflate, with zlib's header, or raw, as some servers send it."""

    def __init__(self) -> None:
        self._inner: Any = None
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._held + data
            self._held = data
            if len(data) < 2:
                return iter(())
            has_header = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = zlib.decompressobj(wbits=15 if has_header else -15)
        return _inflated(self._inner, data)


def _inflated(inner: Any, data: bytes) -> Iterator[bytes]:
    """Yield what zlib makes of `data`; a full piece may leave a rest inside."""
    while True:
        piece = inner.decompress(data, _PIECE)
        if piece:
            yield piece
        data = inner.unconsumed_tail
        if len(piece) < _PIECE and not data:
            return


class _Brotli:
    def __init__(self) -> None:
        self._inner = _package("br", "brotli", "brotlicffi").Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not hasattr(self._inner, "can_accept_more_data"):  # before brotli 1.2
            for at in range(0, len(data), _BROTLI_STEP):
                yield from _cut(self._inner.process(data[at : at + _BROTLI_STEP]))
            return
        while piece := self._inner.process(data, output_buffer_limit=_PIECE):
            yield from _cut(piece)
            data = b""


class _Zstd:
    """zstd, of one frame or of several."""

    def __init__(self) -> None:
        package = _package("zstd", "zstandard")
        self._new = package.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._inner = self._new()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_STEP):
            step = data[at : at + _ZSTD_STEP]
            while step:
                if self._inner.eof:
                    self._inner = self._new()
                yield from _cut(self._inner.decompress(step))
                step = self._inner.unused_data


def _cut(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]


def _package(coding: str, *names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise APIResponseValidationError(
        f"the response is compressed with {coding}, which was not requested;"
        f" install the package {names[0]} to read it"
    )


_CODINGS: dict[str, Callable[[], _Coding]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
