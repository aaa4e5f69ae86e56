"""The responses to requests that are refused, and the headers of all responses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.stores.base import StoreUnavailable

_log = logging.getLogger("pipelines.serve_deltas")

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = dict(HEADERS)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503) or error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after or 1)
    shown = {"error": {"message": str(error), "type": "refused", "code": error.status}}
    return JSONResponse(shown, error.status, headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    _log.warning("%s", error)
    return await _refuse(request, Refused(503, "the store of the deltas is unavailable"))


async def _refuse_route(request: Request, error: Exception) -> Response:
    """Answer a request for a path or with a method that no route has."""
    assert isinstance(error, HTTPException)
    response = await _refuse(request, Refused(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response


async def _fail(request: Request, error: Exception) -> Response:
    return await _refuse(request, Refused(500, "the server has failed; its log has the reason"))


# What the application answers when a route raises an error.
HANDLERS: Mapping[Any, Any] = {
    Refused: _refuse,
    StoreUnavailable: _unavailable,
    HTTPException: _refuse_route,
    Exception: _fail,
}
