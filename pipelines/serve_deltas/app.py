"""The server as an ASGI application: its routes, and what their requests ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.serve_deltas.access import Access, Refused
from pipelines.serve_deltas.durable.messages import JsonMessages, Messages
from pipelines.serve_deltas.durable.route import durable_response
from pipelines.serve_deltas.encoders import FORMS
from pipelines.serve_deltas.encoders.chat_chunks import summed
from pipelines.serve_deltas.following import Readers
from pipelines.serve_deltas.hub import Channel, Hub
from pipelines.serve_deltas.overview import Listing, Overview
from pipelines.serve_deltas.page import PAGE_HEADERS, page
from pipelines.serve_deltas.prompts.endpoint import Prompts
from pipelines.serve_deltas.refusals import HANDLERS, HEADERS
from pipelines.serve_deltas.requests import RawPaths, form_of, id_of, json_of, position_of
from pipelines.serve_deltas.response import StreamResponse
from pipelines.serve_deltas.stores.base import Store

_JSON = JsonMessages()


@dataclass(frozen=True)
class Bounds:
    """How long the server waits, and how much it holds.

    `wait_seconds` is the time that a reader of an unknown id waits for its first delta. A quiet
    connection gets a ping every `ping_seconds`. A reader that reads nothing for `patience` seconds
    is cut off. A long poll waits for `poll_seconds`.
    """

    wait_seconds: float = 30.0
    ping_seconds: float = 15.0
    patience: float = 30.0
    poll_seconds: float = 20.0
    max_readers: int = 10_000
    max_per_stream: int = 1_000


class Door:
    """The routes of one server; with `prompts` it takes prompts, too."""

    def __init__(
        self, store: Store, access: Access, bounds: Bounds, prompts: Prompts | None = None
    ) -> None:
        self.hub = Hub(store)
        self.readers = Readers(ping_seconds=bounds.ping_seconds)
        self.poll_seconds, self.patience = bounds.poll_seconds, bounds.patience
        self.headers: Mapping[str, str] = HEADERS
        # The messages of the Durable Streams protocol; another writer may have others.
        self.messages_of: Callable[[str], Messages] = lambda id: _JSON
        self._access, self._bounds, self._prompts = access, bounds, prompts
        self._listing = Listing(store)
        self._pings: asyncio.Task[None] | None = None

    @property
    def app(self) -> Any:
        """The ASGI application."""
        routes = [
            Route("/", self._page, methods=["GET"]),
            Route("/streams", self._list, methods=["GET"]),
            Route("/streams", self._follow_all, methods=["POST"]),
            Route("/streams/{id}", self._read, methods=["GET"]),
            Route("/streams/{id}/stream", self._resume, methods=["GET"]),
            Route("/streams/{id}/stop", self._stop, methods=["POST"]),
            Route("/streams/{id}/chat/completions", self._complete, methods=["POST"]),
            Route("/prompts", self._take, methods=["POST"]),
        ]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(self._access.origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization", "last-event-id", "cache-control", "if-none-match"],
            expose_headers=["*"],
        )
        app = Starlette(False, routes, [cors], HANDLERS)
        app.router.redirect_slashes = False
        return RawPaths(app)

    async def start(self) -> None:
        """Start to read the store. Raises StoreUnavailable."""
        if self._prompts is not None:
            await self._prompts.start()
        await self.hub.start()
        self._pings = asyncio.create_task(self.readers.run())

    async def aclose(self) -> None:
        """End all readers, and close the store."""
        if self._pings is not None:
            self._pings.cancel()
            self._pings = None
            await self.hub.aclose()
            if self._prompts is not None:
                await self._prompts.aclose()

    async def _page(self, request: Request) -> Response:
        """Answer with the page, which has nothing of any stream."""
        self._access.check_source(request.headers)
        shown = page(asks=self._prompts is not None)
        return Response(shown, headers={**HEADERS, **PAGE_HEADERS}, media_type="text/html")

    async def _take(self, request: Request) -> Response:
        """Put a prompt into the source of the job."""
        if self._prompts is None:
            raise Refused(404, "this server takes no prompts; see --prompts_to")
        response = await self._prompts.respond(request)
        response.headers.update(self.headers)
        return response

    async def _list(self, request: Request) -> Response:
        """Answer with the ids of the answers that began last, the newest first."""
        self._access.check(request.headers, request.query_params, None, time.time())
        begun = await self._listing.newest()
        return JSONResponse({"streams": [{"id": one.id} for one in begun]}, headers=HEADERS)

    async def _follow_all(self, request: Request) -> Any:
        """Answer with what all these answers gain, after the positions that the body names."""
        self._access.check(request.headers, request.query_params, None, time.time())
        if self.readers.count >= self._bounds.max_readers:
            raise Refused(429, "the server has as many readers as it takes; come back later")
        await self._listing.newest()  # an error has a status of its own
        positions = (await json_of(request)).get("positions")
        return Overview(self, self._listing, positions, self._bounds.ping_seconds)

    async def _read(self, request: Request) -> Any:
        id = self._admitted(request)
        if (durable := durable_response(request, self, id, self.messages_of(id))) is not None:
            return durable
        return StreamResponse(self, id, form_of(request), position_of(request))

    async def _complete(self, request: Request) -> Any:
        """Answer a client of OpenAI's chat API with the stream of the id."""
        id = self._admitted(request)
        if (await json_of(request)).get("stream") is True:
            return StreamResponse(self, id, FORMS["chat"], None)
        return await self._whole(id)

    async def _resume(self, request: Request) -> Any:
        """Answer `useChat` with `resume`: with the stream while it grows, else with status 204."""
        id = self._admitted(request)
        async with self.hub.channel(id) as channel:
            if channel.text.ending is not None or not channel.text.has_begun:
                return Response(status_code=204, headers=HEADERS)
        return StreamResponse(self, id, FORMS["ai-sdk"], None)

    async def _stop(self, request: Request) -> Response:
        """Ask the worker that generates the answer to stop; the stream says when it has."""
        id = self._admitted(request, to_stop=True)
        await self.hub.store.stop(id)
        return Response(status_code=202, headers=HEADERS)

    async def _whole(self, id: str) -> Response:
        async with self.hub.channel(id) as channel:
            await self.wait_for(channel)
            while channel.text.ending is None and not self.hub.is_closing:
                if channel.is_lost or channel.text.is_beheaded:
                    raise Refused(410, "the stream of the answer has disappeared")
                await channel.changed()
            ending = channel.text.ending
            if ending is None:
                raise Refused(503, "the server is closing; send the request again")
            if ending.error_type is not None:
                raise Refused(502, f"the prompt has failed: {ending.error_type}")
            return JSONResponse(dict(summed(channel.text.pieces).completion()), headers=HEADERS)

    def _admitted(self, request: Request, *, to_stop: bool = False) -> str:
        """Return the id that the request may read, or stop. Raises Refused."""
        id = id_of(request)
        self._access.check(request.headers, request.query_params, id, time.time(), to_stop=to_stop)
        return id

    def admit(self, channel: Channel) -> None:
        """Raise Refused if there are too many readers."""
        if self.readers.count >= self._bounds.max_readers:
            raise Refused(429, "the server has as many readers as it takes; come back later")
        if channel.readers > self._bounds.max_per_stream:
            raise Refused(429, "the stream has as many readers as it takes; come back later")

    async def wait_for(self, channel: Channel) -> None:
        """Return when the answer has begun. Raises Refused after the time for it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._bounds.wait_seconds
        while not channel.text.has_begun and not self.hub.is_closing:
            try:
                await asyncio.wait_for(channel.changed(), max(until - loop.time(), 0.001))
            except asyncio.TimeoutError:
                seconds = f"{self._bounds.wait_seconds:g}"
                raise Refused(404, f"no delta of this id has come in {seconds} seconds") from None
