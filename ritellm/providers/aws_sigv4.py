"""Sign a request with AWS Signature Version 4. Pure: credentials and time are passed in.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from posixpath import normpath
from urllib.parse import quote, unquote, urlsplit

from ritellm.types import HttpRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_SAFE = "-_.~"

# Headers that a proxy or the HTTP client may change are not signed.
_UNSIGNED = frozenset(
    "authorization connection content-length expect keep-alive proxy-authenticate"
    " proxy-authorization te trailer transfer-encoding upgrade user-agent x-amzn-trace-id".split()
)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """A key pair, with a `session_token` if it is temporary. The secrets are not in repr."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def sign(
    request: HttpRequest, credentials: AwsCredentials, region: str, service: str, now: datetime
) -> HttpRequest:
    """Return `request` with the headers of its signature at `now` (aware).

    Every header is signed, except those that may change on the way. More may be added later.
    """
    time = now.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers.setdefault("host", _host(request.url))
    headers["x-amz-date"] = time
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    signed = {name: headers[name] for name in sorted(headers) if name not in _UNSIGNED}
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(request, signed)
    to_sign = f"{_ALGORITHM}\n{time}\n{scope}\n{_sha256(canonical.encode())}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope},"
        f" SignedHeaders={';'.join(signed)}, Signature={_hmac(key, to_sign).hex()}"
    )
    return replace(request, headers=headers)


def canonical_request(request: HttpRequest, signed: Mapping[str, str]) -> str:
    """Return the text to sign for `request`; `signed` are its headers, by sorted name."""
    url = urlsplit(request.url)
    lines = [f"{name}:{' '.join(value.split())}\n" for name, value in signed.items()]
    return "\n".join(
        (
            request.method,
            _path(url.path),
            _query(url.query),
            "".join(lines),
            ";".join(signed),
            _sha256(request.content),
        )
    )


def _host(url: str) -> str:
    """Return the Host header as HTTP clients send it, without the default port of the scheme."""
    parts = urlsplit(url)
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.netloc.rpartition("@")[2].removesuffix(default)


def _path(path: str) -> str:
    """Return the path, encoded once more than in the URL, as all services except S3 require.

    The `%3A` in a model's name becomes `%253A`.
    """
    plain = normpath(path) if path else "/"
    if path.endswith("/") and plain != "/":
        plain += "/"
    return quote("/" + plain.lstrip("/"), safe="/" + _SAFE)


def _query(query: str) -> str:
    """Return the parameters sorted, each encoded exactly once."""
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = [(_encode(name), _encode(value)) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encode(text: str) -> str:
    return quote(unquote(text), safe=_SAFE)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
