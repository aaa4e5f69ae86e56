"""Addresses at Google, which Gemini's API and Vertex AI share: the path and the method."""

from __future__ import annotations

import re

from ritellm.wire.request import address as joined
from ritellm.wire.request import in_path

_VERB = re.compile(r":[A-Za-z]+$")


def address(base_url: str, path: str, verb: str) -> str:
    """Return the address to send to; `base_url` is the root of the API, or the whole address."""
    base, mark, query = base_url.partition("?")
    base = base.rstrip("/")
    if _VERB.search(base):
        url = _VERB.sub(f":{verb}", base)
    else:
        url = joined(base, f"/{in_path(path, '/@')}:{verb}")
    if verb == "streamGenerateContent" and "alt=" not in query:
        query, mark = f"{query}&alt=sse" if query else "alt=sse", "?"
    return url + mark + query
