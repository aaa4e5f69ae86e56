"""Media types and data URLs, in the one spelling that every server accepts.

A browser, a phone or a mail program writes `image/jpg`, `IMAGE/PNG` or `image/png;charset=utf-8`.
Servers compare with `image/jpeg` and `image/png`, and refuse the rest.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from ritellm.errors import InvalidRequestError

# Names that were never registered, or that an x- or vendor name replaced:
# https://www.iana.org/assignments/media-types and https://mimesniff.spec.whatwg.org/
_REGISTERED = {
    "application/x-pdf": "application/pdf",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-mp3": "audio/mp3",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-pn-wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-jpg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-webp": "image/webp",
    "text/x-markdown": "text/markdown",
    "video/x-m4v": "video/mp4",
}
_SOURCES = ("image_url", "video_url", "audio_url")


def media_type(text: str) -> str:
    """Return a media type in lower case, under its registered name, without parameters."""
    plain = text.partition(";")[0].strip().lower()
    return _REGISTERED.get(plain, plain)


def audio_format(text: Any) -> Any:
    """Return the format of `input_audio` as OpenAI writes it: `wav`, also for `audio/x-wav`."""
    if not isinstance(text, str):
        return text
    kind = text.lower() if "/" in text else f"audio/{text.lower()}"
    return media_type(kind).removeprefix("audio/")


def split_data_url(url: str) -> tuple[str, str] | None:
    """Return (media type, base64) of a `data:` URL, or None for any other address."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidRequestError(f"a data: URL must be in base64, got {url[:60]!r}")
    kind = media_type(head[: -len(";base64")]) or "application/octet-stream"
    if kind.startswith("text/") and _charset(head) != "utf-8":
        data = b64encode(text_in(url).encode()).decode()  # the charset does not travel along
    return kind, data


def _charset(head: str) -> str:
    named = [p for p in head.split(";") if p.strip().lower().startswith("charset=")]
    return named[-1].partition("=")[2].strip("\"' ").lower() if named else "utf-8"


def text_in(url: str) -> str:
    """Return the text in a `data:` URL, decoded by its charset; the default is UTF-8."""
    head, _, data = url.partition(",")
    charset = _charset(head)
    try:
        return b64decode(data).decode(charset, "replace")
    except LookupError:
        return b64decode(data).decode("utf-8", "replace")
    except ValueError as error:
        raise InvalidRequestError(f"a data: URL must be in base64, got {error}") from None


def plain_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of OpenAI's content with its media type in the accepted spelling."""
    kind = part.get("type")
    source = part.get(kind) if isinstance(kind, str) else None
    if kind in _SOURCES:
        return _with_url(part, kind, source)
    if not isinstance(source, Mapping):
        return part
    if kind == "input_audio":
        return _with(part, kind, {**source, "format": audio_format(source.get("format"))})
    if kind == "file" and isinstance(data := source.get("file_data"), str):
        return _with(part, kind, {**source, "file_data": plain_url(data)})
    return part


def plain_url(url: str) -> str:
    """Return a `data:` URL with its media type in the accepted spelling; others are unchanged."""
    if url[:5].lower() != "data:":
        return url
    head, comma, data = url[5:].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return url
    given = head[: -len(";base64")]
    # Text keeps its charset. For any other kind of data a parameter is noise.
    known = given if given.lower().startswith("text/") else media_type(given)
    return url if url.startswith(f"data:{known};base64,") else f"data:{known};base64,{data}"


def _with_url(part: Mapping[str, Any], kind: str, source: Any) -> Mapping[str, Any]:
    if isinstance(source, str):  # litellm accepts the address alone
        return {**part, kind: {"url": plain_url(source)}}
    if isinstance(source, Mapping) and isinstance(source.get("url"), str):
        return _with(part, kind, {**source, "url": plain_url(source["url"])})
    return part


def _with(part: Mapping[str, Any], kind: str, source: Any) -> Mapping[str, Any]:
    return part if part[kind] == source else {**part, kind: source}
