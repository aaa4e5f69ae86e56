"""The most that a server may make this process hold, in one place.

A server, or a proxy before it, can send a line without an end, a header of any size, or two
megabytes that decompress to gigabytes. Each limit is far above what providers send: a large image
in base64 has about 30 MiB. Reading stops at a limit with an error that names it. It is not
retried, since the next response would be as large.

A program that needs more assigns to a limit: `limits.MAX_EVENT_BYTES = 256 * limits.MIB`.
"""

from __future__ import annotations

from ritellm.errors import APIResponseValidationError

KIB = 1024
MIB = 1024 * KIB

# One server-sent event, one JSON line, one frame: what is held until its end arrives.
MAX_EVENT_BYTES = 64 * MIB
# A response that is one JSON document.
MAX_DOCUMENT_BYTES = 128 * MIB
# A streamed response, decompressed. Its events are not held, but their text is.
MAX_STREAM_BYTES = 1024 * MIB
# The head of a response, and what HTTP adds to a body: trailers, extensions of chunks.
MAX_HEAD_BYTES = 96 * KIB
# How many times larger than received a decompressed body may be, once it exceeds the second limit.
MAX_DECOMPRESSION_RATIO = 200
RATIO_APPLIES_ABOVE_BYTES = 16 * MIB


def exceeded(what: str, limit: int) -> APIResponseValidationError:
    """Return the error for `what` (such as "an event"), which exceeds `limit` bytes."""
    return APIResponseValidationError(
        f"{what} of a response must have at most {size(limit)}, got more", code="too_large"
    )


def size(limit: int) -> str:
    """Return a number of bytes as text."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if limit >= unit and limit % unit == 0:
            return f"{limit // unit} {name}"
    return f"{limit} bytes"
