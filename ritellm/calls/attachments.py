"""Reads images and files that messages name by a local path into data URLs, before sending.

The caller must allow this with `local_files=True`. If messages come from foreign data, a path in
one of them could send any file of this machine to a provider.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ritellm.errors import InvalidRequestError

Part = Mapping[str, Any]
Read = Callable[[str, str | None], str]

# http:, https:, data:, gs:, s3:, ... but not a drive's letter.
_SCHEME = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:")
_ADDRESSED = ("image_url", "video_url", "audio_url")
_SHOWN = 120


def attach(messages: Sequence[Mapping[str, Any]], allowed: bool) -> list[Mapping[str, Any]]:
    """Return `messages` with the files in place of their paths.

    Raises InvalidRequestError for a file that cannot be read, and for every file unless `allowed`.
    """
    return [_message(message, position, allowed) for position, message in enumerate(messages)]


def _message(message: Mapping[str, Any], position: int, allowed: bool) -> Mapping[str, Any]:
    content = message.get("content")
    if not isinstance(content, (list, tuple)):
        return message

    def read(value: str, kind: str | None) -> str:
        where = f"messages[{position}]"
        if not allowed:
            raise InvalidRequestError(
                f"{where} names a local file, {value[:_SHOWN]!r}, which is not read, because a"
                " prompt may be foreign data: give a data: or https: URL (a Python program may"
                " pass local_files=True)"
            )
        return _data_url(value, kind, where)

    parts = [_part(part, read) if isinstance(part, Mapping) else part for part in content]
    changed = any(new is not old for new, old in zip(parts, content, strict=True))
    return {**message, "content": parts} if changed else message


def _part(part: Part, read: Read) -> Part:
    kind = part.get("type")
    if kind in _ADDRESSED:
        target = part.get(kind)
        url = target.get("url") if isinstance(target, Mapping) else target
        if not isinstance(url, str) or not url or _SCHEME.match(url):
            return part
        if not isinstance(target, Mapping):
            return {**part, kind: read(url, None)}
        return {**part, kind: {**target, "url": read(url, target.get("format"))}}
    if kind == "file" and isinstance(part.get("file"), Mapping):
        return _file(part, part["file"], read)
    return part


def _file(part: Part, file: Mapping[str, Any], read: Read) -> Part:
    data = file.get("file_data")
    # Base64 without `data:` contains no dot. A path contains one, before its suffix.
    if not isinstance(data, str) or "." not in data or _SCHEME.match(data):
        return part
    name = {"filename": Path(_path(data)).name}
    return {**part, "file": {**name, **file, "file_data": read(data, file.get("format"))}}


def _data_url(value: str, kind: str | None, where: str) -> str:
    path = Path(_path(value)).expanduser()
    kind = kind or mimetypes.guess_type(path.name, strict=False)[0]
    try:
        if not path.is_file():
            raise FileNotFoundError(None, "no such file")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidRequestError(
            f"{where}: cannot read {str(path)[:_SHOWN]!r}: {reason}"
        ) from None
    if kind is None:
        raise InvalidRequestError(
            f"{where}: unknown kind of file {str(path)[:_SHOWN]!r}: give its name a suffix such as"
            " .png, or pass its media type as `format`"
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _path(value: str) -> str:
    if not value.startswith("file:"):
        return value
    from urllib.request import url2pathname  # brings half an HTTP stack

    return url2pathname(urlsplit(value).path)
