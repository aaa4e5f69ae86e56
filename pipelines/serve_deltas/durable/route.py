"""Finds the response to a request of the protocol."""

from __future__ import annotations

from starlette.requests import Request

from pipelines.serve_deltas.durable.messages import Messages
from pipelines.serve_deltas.durable.request import asked, is_asked
from pipelines.serve_deltas.durable.response import DurableHead, DurableRead
from pipelines.serve_deltas.host import Host


def durable_response(
    request: Request, host: Host, id: str, messages: Messages
) -> DurableHead | DurableRead | None:
    """Return the response, None if the request is not one of the protocol. Raises Refused."""
    if request.method == "HEAD":
        return DurableHead(host, id, messages)
    if not is_asked(request.query_params):
        return None
    return DurableRead(host, id, messages, asked(request.query_params, request.headers))
