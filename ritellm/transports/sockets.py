"""Settings of sockets and connections that all transports share."""

from __future__ import annotations

import socket

# An idle connection is closed after this time: a server closes it at about the same time, and a
# request that is sent at that moment would be lost.
IDLE_SECONDS = 30.0

# After the terminator: how long to wait for the end of the body, so that the connection can be
# reused, and how much to read. A server may keep the socket open for ever.
DRAIN_SECONDS = 0.1
DRAIN_BYTES = 16 * 1024

# A larger request may be refused while it is being sent.
LARGE_REQUEST_BYTES = 64 * 1024
# A look at a socket for what has arrived already.
MOMENT_SECONDS = 0.001


def _keep_alive_options() -> list[tuple[int, int, int]]:
    wanted = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    known = [(getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    tcp = [(socket.IPPROTO_TCP, option, value) for option, value in known]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *tcp]


NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
# The kernel detects that the other side is gone: a stream may be silent for minutes.
KEEP_ALIVE = _keep_alive_options()
