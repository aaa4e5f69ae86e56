"""`POST /prompts`: takes a prompt, puts it into the source of the job, and answers with its id.

The problem: a client whose connection breaks does not know whether its prompt was taken, and a
prompt that is sent twice is paid for twice.

The idea: a client that sends an id can send the request again. The id is claimed before the prompt
is put, and the claim is confirmed afterwards. A repeated prompt gets the same answer and is not put
again; another prompt with the id is refused.

Nothing here logs a prompt, an id or a token.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipelines.serve_deltas import tokens
from pipelines.serve_deltas.access import Access, Refused
from pipelines.serve_deltas.prompts.claims.base import Claim, Claims
from pipelines.serve_deltas.prompts.queues.base import PromptQueue, QueueFull, QueueUnavailable
from pipelines.serve_deltas.prompts.rate import Rate
from pipelines.serve_deltas.requests import read_body

if TYPE_CHECKING:
    from pipelines.serve_deltas.prompts.intake import Asked

_log = logging.getLogger("pipelines.serve_deltas")


class Prompts:
    """Takes prompts for one source.

    `taken` makes a prompt of a body, or raises Refused. A token for the stream of a prompt is valid
    for `valid_seconds`.
    """

    def __init__(
        self,
        queue: PromptQueue,
        claims: Claims,
        taken: Callable[[bytes], Asked],
        access: Access,
        *,
        per_minute: int,
        valid_seconds: int,
    ) -> None:
        self._queue, self._claims, self._taken, self._access = queue, claims, taken, access
        self._rate, self._valid_seconds = Rate(per_minute), valid_seconds

    async def start(self) -> None:
        """Check the source. Raises QueueUnavailable."""
        await self._queue.check()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._queue.aclose()
        await self._claims.aclose()

    async def respond(self, request: Request) -> Response:
        """Take the prompt of `request`. Raises Refused, StoreUnavailable."""
        now = time.time()
        rights = self._access.check_asker(request.headers, request.query_params, now)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != (
            "application/json"
        ):
            raise Refused(415, "the body must be JSON, with Content-Type: application/json")
        if wait := self._rate.wait(self._client_of(request), time.monotonic()):
            raise Refused(429, "this client has sent too many prompts", math.ceil(wait))
        asked = self._taken(await read_body(request))
        try:
            is_new = await self._put_once(asked)
        except QueueFull as error:
            raise Refused(503, f"the source is full: {error}", 10) from None
        path = f"/streams/{quote(asked.id, safe='')}"
        shown = {"id": asked.id, "stream": path}
        if (secret := self._access.secret) is not None:
            expires, may_stop = int(now) + self._valid_seconds, tokens.STOP in rights
            shown["token"] = tokens.sign(secret, asked.id, expires, may_stop=may_stop)
        return JSONResponse(shown, 201 if is_new else 200, {"Location": path})

    def _client_of(self, request: Request) -> str:
        """Return who sends: the bearer of a token, or else an address."""
        if self._access.secret is not None:
            return self._access.token(request.headers, request.query_params)
        return request.client.host if request.client else ""

    async def _put_once(self, asked: Asked) -> bool:
        """Put the prompt; return False if that was done before. Raises Refused."""
        if not asked.is_named:  # the id is new
            await self._put(asked)
            return True
        claim = await self._claims.claim(asked.id, asked.digest)
        if claim is Claim.TAKEN:
            return False
        if claim is Claim.BUSY:
            raise Refused(409, "this prompt is being taken; send it again in a moment", 1)
        if claim is Claim.OTHER:
            raise Refused(409, "another prompt has this id; ids must be unique")
        try:
            await self._put(asked)
        except QueueFull:
            await self._claims.release(asked.id)
            raise
        await self._claims.confirm(asked.id, asked.digest)
        return True

    async def _put(self, asked: Asked) -> None:
        try:
            await self._queue.put(asked.id, asked.row)
        except QueueUnavailable as error:
            # The claim stays until it expires: the source may have taken the prompt after all.
            _log.warning("%s", error)
            raise Refused(503, "the source of the prompts is unavailable", 30) from None
