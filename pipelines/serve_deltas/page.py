"""The page that shows the answers of a job side by side while they grow.

It is one HTML file, which loads nothing. Its Content-Security-Policy allows the one script and the
one style sheet by their hashes, and requests to its own server only. The page adds all texts of
models as text, never as HTML.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources


@cache
def page(*, asks: bool = False) -> bytes:
    """Return the page; with `asks` it has a box for prompts."""
    body = _asset("page.html").replace(b"{{hidden}}", b"" if asks else b" hidden")
    for place, name in ((b"{{style}}", "page.css"), (b"{{script}}", "page.js")):
        body = body.replace(place, _asset(name))
    return body


@cache
def _asset(name: str) -> bytes:
    return (resources.files("pipelines.serve_deltas") / "assets" / name).read_bytes()


def _hash(text: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode()


PAGE_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(_asset('page.js'))}'",
            f"style-src '{_hash(_asset('page.css'))}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
