"""What transports raise when the network fails, and this library's errors for it."""

from __future__ import annotations

import socket
import ssl
import time

import httpx

from ritellm.calls.call import Call
from ritellm.errors import APIConnectionError, RitellmError, Timeout
from ritellm.masking import masked_url
from ritellm.transports.descriptors import causes, shortage


def as_ritellm_error(error: Exception, call: Call) -> RitellmError:
    """Return this library's error for one of FAILURES.

    Its text names the address but not the request, which contains the key.
    """
    if isinstance(error, KnownFailure):
        return error.error
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return call.timed_out("total" if _total_is_over(call) else "connect")
    if isinstance(error, httpx.WriteTimeout):
        return Timeout("the request could not be sent in time", code="write_timeout")
    if isinstance(error, httpx.ReadTimeout):
        name = call.deadline[1] if call.deadline else "first_chunk"
        return call.timed_out(name)
    where = masked_url(call.current.endpoint.base_url)
    if reason := shortage(error):
        return APIConnectionError(f"cannot connect to {where}: {reason}")
    if isinstance(error, httpx.ConnectError):
        code = _code_of(error)
        return APIConnectionError(f"cannot connect to {where}: {error or 'refused'}", code=code)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)):
        return APIConnectionError(f"invalid address {where}: {error}", retryable=False)
    return APIConnectionError(f"the connection to {where} broke: {error or type(error).__name__}")


def _code_of(error: httpx.ConnectError) -> str:
    """Return the code that says which step of connecting failed."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror) and cause.errno in _UNKNOWN_HOST:
            return "unknown_host"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _CLOSED_BY_TLS):
            return "no_tls"
    return "cannot_connect"


# A proxy before a server that is down may close the connection in the middle of the handshake.
_CLOSED_BY_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
# A lookup may also fail for a while (EAI_AGAIN): then the network is down.
_UNKNOWN_HOST = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def _total_is_over(call: Call) -> bool:
    total = call.plan.timeouts.total
    return total is not None and time.monotonic() >= call.timing.started + total


# What httpx raises when the network fails; InvalidURL is outside its tree, and so are the errors
# of a host name that cannot be encoded.
FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError)


class KnownFailure(httpx.TransportError):
    """A failure whose `error` is certain already: a limit, or the end of a recording."""

    def __init__(self, error: RitellmError) -> None:
        super().__init__(error.message)
        self.error = error
