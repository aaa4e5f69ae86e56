"""The settings of the environment that every connection follows: proxies, and trusted certificates.

httpx reads them. This module says which variable is at fault if they are wrong, and which hosts are
reached without a proxy.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

import httpx

from ritellm.errors import InvalidRequestError
from ritellm.masking import masked_url
from ritellm.transports.descriptors import shortage

_SCHEMES = ("http", "https", "socks5", "socks5h")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine, whose servers are reached without a proxy."""
    name = host.lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        # The resolver also accepts short forms, such as 127.1.
        short = ":" not in name and name.replace(".", "").isdigit()
        address = ipaddress.ip_address(socket.inet_aton(name) if short else name)
    except (OSError, ValueError):
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def check_proxies() -> None:
    """Raise InvalidRequestError, with the variable's name, if a proxy of the environment is wrong.

    httpx accepts some addresses that lead nowhere.
    """
    if fault := _wrong_proxy():
        raise InvalidRequestError(fault)


def check_settings(url: str) -> None:
    """Raise InvalidRequestError if requests to `url` cannot work in this environment.

    An empty `url` is a server of this machine that has not been started yet.
    """
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or "localhost"):
        check_proxies()
    if parts.scheme == "https":
        trust()


@cache
def trust() -> ssl.SSLContext:
    """Return httpx's TLS context, so that all transports trust the same certificates.

    Raises InvalidRequestError if SSL_CERT_FILE or SSL_CERT_DIR is wrong.
    """
    if fault := _missing_folder():
        raise InvalidRequestError(fault)
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        if not shortage(error) and (fault := _wrong_file()):
            raise InvalidRequestError(fault) from None
        raise


def _wrong_proxy() -> str | None:
    """Return what is wrong with the proxies in the environment, or None."""
    for name in _PROXIES:
        for variable in (name, name.upper()):
            if (value := os.environ.get(variable)) and (fault := _fault(value)):
                return f"{variable} {fault}, got {masked_url(value)!r}; correct or unset it"
    for variable in ("no_proxy", "NO_PROXY"):
        for host in filter(None, map(str.strip, os.environ.get(variable, "").split(","))):
            try:
                httpx.URL(host if "://" in host else f"all://{host.removeprefix('*')}")
            except httpx.InvalidURL:
                return f"{variable} must be host names, separated by commas, got {host!r:.80}"
    return None


def _fault(value: str) -> str | None:
    """Return what is wrong with the address of a proxy, or None."""
    address = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
        httpx.URL(address)
    except (ValueError, httpx.InvalidURL):
        return "must be the address of a proxy"
    if parts.scheme not in _SCHEMES:
        return f"must begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"
    if not has_host:
        return "must name the host of a proxy"
    if parts.scheme.startswith("socks5") and importlib.util.find_spec("socksio") is None:
        return "needs the package socksio for SOCKS: pip install 'httpx[socks]'"
    return None


def _wrong_file() -> str | None:
    """Return what is wrong with SSL_CERT_FILE, or None."""
    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return f"SSL_CERT_FILE must be a file of certificates (PEM), but {path} has none"
    except OSError as error:
        return f"SSL_CERT_FILE must be a file of certificates: {path}: {error.strerror or error}"
    return None


def _missing_folder() -> str | None:
    """Return what is wrong with SSL_CERT_DIR, or None."""
    path = os.environ.get("SSL_CERT_DIR")
    if path and not os.environ.get("SSL_CERT_FILE") and not os.path.isdir(path):
        return f"SSL_CERT_DIR must be a folder of certificates, got {path}"
    return None
