"""The media type of an image from its first bytes. Pure.

Names lie: a `.jpg` is often a PNG, and a provider refuses a type that does not fit the bytes.
"""

from __future__ import annotations

# How many bytes `media_type` looks at.
HEAD_BYTES = 16

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
)
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
}


def media_type(head: bytes) -> str | None:
    """Return the media type of an image that begins with `head`, or None if it is not known."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((kind for magic, kind in _BEGINNINGS if head.startswith(magic)), None)
