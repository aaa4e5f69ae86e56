"""Reads the body of a request, up to a bound."""

from __future__ import annotations

from starlette.requests import Request

from pipelines.serve_deltas.access import Refused

# The most that the body of a request may have, in bytes.
MOST_BODY = 1 << 20


async def read_body(request: Request) -> bytes:
    """Return the body. Raises Refused for one that is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise Refused(413, f"the body must have at most {MOST_BODY} bytes")
    return bytes(body)
