"""What a request says: the form that it wants, where its reader left off, and its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.encoders import FORMS, Encoder
from pipelines.serve_deltas.ids import MOST_ID, is_id
from pipelines.serve_deltas.piece import parsed
from pipelines.serve_deltas.position import Position, parse_position

# The most that the body of a request may have, in bytes.
MOST_BODY = 1 << 20


def id_of(request: Request) -> str:
    """Return the id in the path. Raises Refused for a text that is none."""
    id = unquote(request.path_params["id"])
    if not is_id(id):
        raise Refused(400, f"an id must be a text of at most {MOST_ID} characters")
    return id


def form_of(request: Request) -> Encoder:
    """Return the form that the request asks for. Raises Refused for an unknown one."""
    wants_events = "text/event-stream" in request.headers.get("accept", "")
    form = request.query_params.get("as") or ("events" if wants_events else "text")
    if form not in FORMS:
        raise Refused(400, f"as must be one of {', '.join(FORMS)}, durable, got {form[:40]!r}")
    return FORMS[form]


def position_of(request: Request) -> Position | None:
    """Return where a reader left off. Raises Refused for a text that is no position."""
    text = request.headers.get("last-event-id") or request.query_params.get("position") or ""
    position = parse_position(text)
    if text and position is None:
        raise Refused(400, "the position (Last-Event-ID) is not one of this server")
    return position


async def read_body(request: Request) -> bytes:
    """Return the body. Raises Refused for one that is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise Refused(413, f"the body must have at most {MOST_BODY} bytes")
    return bytes(body)


async def json_of(request: Request) -> Mapping[str, Any]:
    """Return the JSON object of the body, an empty one if it is none. Raises Refused."""
    return parsed(await read_body(request))


class RawPaths:
    """Matches routes with the path as it was sent: an id may have a slash (%2F)."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the request."""
        if scope["type"] == "http" and scope.get("raw_path"):
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self._app(scope, receive, send)
