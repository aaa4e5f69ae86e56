"""The error for a redirect, which is not followed.

A request carries a key and a prompt, and the address to which a response points has not been chosen
by the caller. Even at the same host it shows that `base_url` is wrong. So the error names the
address, and each request goes the direct way once it has been corrected.
"""

from __future__ import annotations

from collections.abc import Mapping

from ritellm.errors import APIError
from ritellm.masking import masked_url

_MOST_CHARACTERS = 300


def redirect_error(status: int, headers: Mapping[str, str]) -> APIError | None:
    """Return the error for a redirect, or None for another response."""
    location = headers.get("location", "").strip()
    if not 300 <= status < 400 or not location:
        return None
    address = "".join(c for c in masked_url(location) if c.isprintable())[:_MOST_CHARACTERS]
    return APIError(
        f"HTTP {status}: the server redirects to {address}; redirects are not followed, so set"
        " base_url to the address that serves requests",
        status_code=status,
    )
