"""The page of a job: one HTML file with everything in it, which loads nothing.

The data is JSON in a script element that no browser runs. A Content-Security-Policy allows the one
script and the one style sheet of the page, by their hashes, and no request. So even a mistake in
the script could not send what a model wrote anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from pipelines.pages.data import escaped

# The page of every job has these bytes in its first 4,096.
MARK = b'<meta name="generator" content="ritellm-beam">'


def page(data: Any, connect: bool = False) -> bytes:
    """Return the page that shows `data`; with `connect` it may ask its own server for more."""
    style, script = _asset("page.css"), _script()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            *(["connect-src 'self'"] if connect else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    parts = {
        b"{{policy}}": policy.encode(),
        b"{{style}}": style,
        b"{{script}}": script,
        b"{{data}}": escaped(data),
    }
    return b"".join(parts.get(piece, piece) for piece in _pieces())


_SCRIPTS = ("dom.js", "charts.js", "sections.js", "rows.js", "live.js", "main.js")


@cache
def _script() -> bytes:
    """Return the scripts as one, whose names are its own."""
    return b"\n".join([b'(() => {\n"use strict";', *map(_asset, _SCRIPTS), b"})();\n"])


@cache
def _asset(name: str) -> bytes:
    return (resources.files("pipelines.pages") / "assets" / name).read_bytes()


@cache
def _pieces() -> tuple[bytes, ...]:
    """Return the template, cut at its places: what fills one is never searched for others."""
    pieces: list[bytes] = []
    rest = _asset("page.html")
    while rest:
        text, start, rest = rest.partition(b"{{")
        name, end, rest = rest.partition(b"}}")
        pieces += [text, start + name + end]
    return tuple(pieces)


def _hash(text: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode()
