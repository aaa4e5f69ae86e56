"""Signed, expiring tokens: who may read the stream of an id, and who may stop it. Pure.

    67e0a1b2.rs.DQ0k...   expiry (seconds since 1970, in hex) . rights . HMAC-SHA256

The rights are `r` (read the stream of one id) or `a` (list all streams, and read each), followed by
`s` if the bearer may stop them, too. The id of a token for all streams is the empty text.

The server that gives a page its token needs the secret and this module, or ten lines of any other
language: the signed text is "v1", the rights, the expiry in hex and the id, joined by line feeds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

# Secrets shorter than this can be found by trying.
LEAST_SECRET = 16
_ONE, _ALL, _STOP = "r", "a", "s"
_FORM = re.compile(r"([0-9a-f]{1,12})\.([ra]s?)\.([A-Za-z0-9_-]{43})", re.ASCII)


class TokenError(Exception):
    """The token does not give the right; the message says why."""


def sign(secret: bytes, id: str | None, expires: int, *, may_stop: bool = False) -> str:
    """Return a token for the stream of `id`, valid until `expires` (seconds since 1970).

    Without an `id` it is for all streams: their listing, and each of them. Raises ValueError for a
    secret of less than 16 bytes.
    """
    if len(secret) < LEAST_SECRET:
        raise ValueError(f"the secret must have at least {LEAST_SECRET} bytes, got {len(secret)}")
    rights, expiry = _ONE if id is not None else _ALL, f"{expires:x}"
    rights += _STOP if may_stop else ""
    return f"{expiry}.{rights}.{_mac(secret, id or '', expiry, rights)}"


def check(secret: bytes, token: str, id: str | None, now: float, *, to_stop: bool = False) -> None:
    """Raise TokenError unless `token` lets its bearer read the stream of `id`, or stop it.

    Without an `id` it must be a token for all streams.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        raise TokenError("a token is needed" if not token else "the token is malformed")
    expiry, rights, mac = found.groups()
    signed = "" if rights.startswith(_ALL) else id
    if signed is None:
        raise TokenError("the token is for one stream, not for all")
    if not hmac.compare_digest(mac, _mac(secret, signed, expiry, rights)):
        raise TokenError("the token is not for this stream")
    if int(expiry, 16) < now:
        raise TokenError("the token has expired")
    if to_stop and _STOP not in rights:
        raise TokenError("the token lets its bearer read, not stop")


def _mac(secret: bytes, id: str, expiry: str, rights: str) -> str:
    text = "\n".join(("v1", rights, expiry, id)).encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, text, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
