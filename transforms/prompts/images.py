"""The images of a row as parts of a message: addresses, data, or files below one folder.

The problem: a row is foreign data. A path in it could send any file of the worker to the provider.

The idea: a path is read only below the folder that the job names, and only if the file is an image
by its first bytes. Links are followed before the path is compared with the folder, so a link that
leads out of it is refused. Addresses are not fetched here: the provider does that.
"""

from __future__ import annotations

import binascii
import os
import re
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from transforms.prompts.image_types import HEAD_BYTES, media_type
from transforms.prompts.records import RowError, as_mapping, kind

# The largest image that is read. Providers take less.
MOST_BYTES = 32 << 20
_MOST_IMAGES = 1_000

_ADDRESSES = ("http://", "https://", "gs://")
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16}")
_SHOWN = 80


@dataclass(frozen=True)
class Images:
    """The column with a row's image or images, and the folder of the files that it may name."""

    column: str
    root: str | None = None

    def parts(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the images of a row as parts of a message; raises RowError if there is none."""
        values = list(_each(record.get(self.column), self.column))
        if not values or len(values) > _MOST_IMAGES:
            raise RowError(
                f"column {self.column!r} must have 1 to {_MOST_IMAGES:,} images, got {len(values)}"
            )
        return [{"type": "image_url", "image_url": {"url": self._url(value)}} for value in values]

    def _url(self, value: Any) -> str:
        try:
            if isinstance(value, (bytes, bytearray, memoryview)):
                return _data_url(bytes(value))
            if isinstance(value, str) and value.strip():
                return self._url_of_text(value.strip())
        except RowError as error:
            raise RowError(f"column {self.column!r}: {error}") from None
        got = "an empty text" if value == "" else kind(value)
        raise RowError(f"column {self.column!r} must be an image, got {got}")

    def _url_of_text(self, text: str) -> str:
        if text[:5].lower() == "data:":
            return _checked_data_url(text)
        if text.lower().startswith(_ADDRESSES):
            return text
        if (kind := _kind_of_base64(text)) is not None:
            return f"data:{kind};base64,{text}"
        if _OTHER_SCHEME.match(text):
            raise RowError(f"an address must be http, https, gs or data, got {text[:_SHOWN]!r}")
        if self.root is None:
            raise RowError(
                "a text must be an address or an image in base64; for paths name their folder in"
                f" images_root; got {text[:_SHOWN]!r}"
            )
        return _data_url(_read(self.root, text), text)


def _each(value: Any, column: str) -> Iterator[Any]:
    """Yield the images in the value of a column: one, a list, or objects with bytes or a path."""
    if hasattr(value, "tolist") and not isinstance(value, memoryview):
        value = value.tolist()
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        for inner in value[: _MOST_IMAGES + 1]:
            yield from _each(inner, column) if not isinstance(inner, (list, tuple)) else (None,)
        return
    fields = as_mapping(value)
    if fields is None:
        yield value
        return
    # `{"bytes": ..., "path": ...}` is an image of Hugging Face's `datasets`.
    found = (fields.get(name) for name in ("bytes", "path", "url"))
    yield next((inner for inner in found if inner is not None and inner != ""), None)


def _kind_of_base64(text: str) -> str | None:
    """Return the media type of an image in base64; None for a text that is not one."""
    if not _BASE64.match(text):
        return None
    kind = media_type(b64decode(text[:16]))
    if kind is None:
        return None
    try:
        b64decode(text, validate=True)
    except binascii.Error:
        return None
    return kind


def _checked_data_url(url: str) -> str:
    """Return a `data:` URL in base64, with the media type of its content."""
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise RowError(f"a data: address needs a comma before its data, got {url[:_SHOWN]!r}")
    given = head.partition(";")[0].strip().lower()
    if not head.lower().endswith(";base64"):
        return _data_url(unquote_to_bytes(data), given=given)
    data = "".join(data.split())
    try:
        content = b64decode(data, validate=True)
    except binascii.Error as error:
        raise RowError(f"a data: address must be base64, got {error}") from None
    return f"data:{_kind(content, given=given)};base64,{data}"


def _data_url(content: bytes, name: str = "", given: str = "") -> str:
    return f"data:{_kind(content, name, given)};base64,{b64encode(content).decode()}"


def _kind(content: bytes, name: str = "", given: str = "") -> str:
    found = media_type(content[:HEAD_BYTES]) or (given if given.startswith("image/") else None)
    if found is None:
        what = f"{name[:_SHOWN]!r} is not" if name else f"{len(content):,} bytes are not"
        raise RowError(f"{what} an image: PNG, JPEG, WebP, GIF, TIFF, BMP, HEIC or AVIF")
    return found


def _read(root: str, path: str) -> bytes:
    """Return the content of the file at `path` below `root`; raises RowError."""
    if "\x00" in path:
        raise RowError("a path must not have a null character")
    try:
        content = _read_remote(root, path) if "://" in root else _read_local(root, path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RowError(f"cannot read {path[:_SHOWN]!r} below images_root: {reason}") from None
    if len(content) > MOST_BYTES:
        raise RowError(f"{path[:_SHOWN]!r} must have at most {MOST_BYTES:,} bytes")
    return content


def _read_local(root: str, path: str) -> bytes:
    folder = os.path.realpath(root)
    real = os.path.realpath(os.path.join(folder, path))
    if not real.startswith(folder.rstrip(os.sep) + os.sep):
        raise _outside(path)
    # Not through a link that has taken the place of the file, and without waiting for a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    opened = os.open(real, flags)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise RowError(f"{path[:_SHOWN]!r} must be a file")
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    finally:
        os.close(opened)


def _read_remote(root: str, path: str) -> bytes:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    folder = root.rstrip("/") + "/"
    below = path.removeprefix(folder)
    if below.startswith("/") or {"..", "."} & {*below.split("/")}:
        raise _outside(path)
    with FileSystems.open(folder + below, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        content: bytes = file.read(MOST_BYTES + 1)
        return content


def _outside(path: str) -> RowError:
    return RowError(f"a path must be below images_root, got {path[:_SHOWN]!r}")
