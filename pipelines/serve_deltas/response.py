"""The response that follows one stream, in any of the forms."""

from __future__ import annotations

import logging
from typing import Any

from starlette.responses import Response

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.connection import connection_of
from pipelines.serve_deltas.encoders import Encoder
from pipelines.serve_deltas.following import Reader, Receive, Send
from pipelines.serve_deltas.host import Host, begun
from pipelines.serve_deltas.position import Position
from pipelines.serve_deltas.stores.base import StoreUnavailable

_log = logging.getLogger("pipelines.serve_deltas")


class StreamResponse:
    """What a reader at `position` lacks of the answer `id`, and then what the answer gains."""

    def __init__(self, host: Host, id: str, encoder: Encoder, position: Position | None) -> None:
        self._host, self._id, self._encoder, self._position = host, id, encoder, position

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            await self._follow(scope, receive, send)
        except StoreUnavailable as error:
            # Browsers do not come back after an error status.
            if (later := self._encoder.later) is None:
                raise
            _log.warning("%s", error)
            await self._begin(send)
            await send({"type": "http.response.body", "body": later})

    async def _follow(self, scope: Any, receive: Receive, send: Send) -> None:
        async with self._host.hub.channel(self._id) as channel:
            self._host.admit(channel)
            await self._host.wait_for(channel)
            reader = Reader(channel, self._encoder, self._position, connection_of(scope))
            if reader.at_end:
                await Response(status_code=204, headers=self._host.headers)(scope, receive, send)
                return
            if channel.text.is_beheaded:
                raise Refused(410, "the beginning of the answer has been trimmed")
            await self._begin(send)
            if scope["method"] == "HEAD" or await self._host.readers.follow(reader):
                await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: Send) -> None:
        await send(begun(self._host, self._encoder.media_type, self._encoder.headers))
