"""Signed, expiring tokens: who may read the stream of an id, stop it, and send prompts. Pure.

    67e0a1b2.rs.DQ0k...   expiry (seconds since 1970, in hex) . rights . HMAC-SHA256

The rights are `r` (read the stream of one id), `a` (list all streams, and read each) or none of
both, followed by `s` if the bearer may stop these streams, and by `w` if it may send prompts. With
`w` alone, or `sw`, it reads nothing but the streams of its prompts, for each of which it gets a
token. The id of a token without `r` is the empty text.

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
_ONE, _ALL, STOP, _WRITE = "r", "a", "s", "w"
_FORM = re.compile(r"([0-9a-f]{1,12})\.(rs?|as?w?|s?w)\.([A-Za-z0-9_-]{43})", re.ASCII)


class TokenError(Exception):
    """The token does not give the right; the message says why."""


def sign(secret: bytes, id: str | None, expires: int, *, may_stop: bool = False) -> str:
    """Return a token for the stream of `id`, valid until `expires` (seconds since 1970).

    Without an `id` it is for all streams: their listing, and each of them. Raises ValueError for a
    secret of less than 16 bytes.
    """
    return _signed(secret, id or "", expires, (_ONE if id is not None else _ALL) + STOP * may_stop)


def sign_asker(secret: bytes, expires: int, *, may_stop: bool = False, may_read: bool) -> str:
    """Return a token that sends prompts. With `may_read` it is for all streams, too.

    `may_stop` holds for the streams that it reads, and for those of its prompts. Raises ValueError
    for a secret of less than 16 bytes.
    """
    return _signed(secret, "", expires, _ALL * may_read + STOP * may_stop + _WRITE)


def check(secret: bytes, token: str, id: str | None, now: float, *, to_stop: bool = False) -> None:
    """Raise TokenError unless `token` lets its bearer read the stream of `id`, or stop it.

    Without an `id` it must be a token for all streams.
    """
    rights = _checked(secret, token, id, now)
    if not rights.startswith((_ONE, _ALL)):
        raise TokenError("the token lets its bearer send prompts, not read")
    if to_stop and STOP not in rights:
        raise TokenError("the token lets its bearer read, not stop")


def check_asker(secret: bytes, token: str, now: float) -> str:
    """Return the rights of `token`. Raises TokenError unless its bearer may send prompts."""
    rights = _checked(secret, token, None, now)
    if _WRITE not in rights:
        raise TokenError("the token lets its bearer read, not send prompts")
    return rights


def _signed(secret: bytes, id: str, expires: int, rights: str) -> str:
    if len(secret) < LEAST_SECRET:
        raise ValueError(f"the secret must have at least {LEAST_SECRET} bytes, got {len(secret)}")
    expiry = f"{expires:x}"
    return f"{expiry}.{rights}.{_mac(secret, id, expiry, rights)}"


def _checked(secret: bytes, token: str, id: str | None, now: float) -> str:
    """Return the rights of a token that is valid for the stream of `id`. Raises TokenError."""
    found = _FORM.fullmatch(token)
    if found is None:
        raise TokenError("a token is needed" if not token else "the token is malformed")
    expiry, rights, mac = found.groups()
    signed = id if rights.startswith(_ONE) else ""
    if signed is None:
        raise TokenError("the token is for one stream, not for all")
    if not hmac.compare_digest(mac, _mac(secret, signed, expiry, rights)):
        raise TokenError("the token is not for this stream")
    if int(expiry, 16) < now:
        raise TokenError("the token has expired")
    return rights


def _mac(secret: bytes, id: str, expiry: str, rights: str) -> str:
    text = "\n".join(("v1", rights, expiry, id)).encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, text, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
