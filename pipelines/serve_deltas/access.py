"""Who may come in: hosts, origins and tokens. No I/O, no clock.

Without a secret, the server is for the programs of this machine. Then a page of a stranger, opened
in a browser of this machine, must reach nothing: neither under a name of its own that it resolves
to 127.0.0.1 (`Host`), nor with a request from its own origin (`Origin`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipelines.serve_deltas import tokens

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Refused(Exception):
    """The request is refused with `status`; the message is for its sender.

    A refusal that may pass has the seconds after which to try again.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Access:
    """What a request needs: a token of the `secret`, if there is one, and a known origin."""

    secret: bytes | None = None
    origins: Collection[str] = ()

    def check(
        self,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        id: str | None,
        now: float,
        *,
        to_stop: bool = False,
    ) -> None:
        """Raise Refused unless the request may read the stream of `id`, or stop it.

        Without an `id` it must be allowed to read all streams.
        """
        self.check_source(headers)
        if self.secret is None:
            return
        try:
            tokens.check(self.secret, self.token(headers, query), id, now, to_stop=to_stop)
        except tokens.TokenError as error:
            raise Refused(401, str(error)) from None

    def check_asker(self, headers: Mapping[str, str], query: Mapping[str, str], now: float) -> str:
        """Return the rights of a request that may send prompts. Raises Refused."""
        self.check_source(headers)
        if self.secret is None:
            return tokens.STOP
        try:
            return tokens.check_asker(self.secret, self.token(headers, query), now)
        except tokens.TokenError as error:
            raise Refused(401, str(error)) from None

    def token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """Return the token of a request: an `EventSource` cannot set headers."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else query.get("token", "")

    def check_source(self, headers: Mapping[str, str]) -> None:
        """Raise Refused for a host or an origin that is not known."""
        host = headers.get("host", "")
        if self.secret is None and not {host, host.rpartition(":")[0]} & _LOOPBACK:
            raise Refused(403, "without --secret_env the server answers on loopback names only")
        origin = headers.get("origin")
        if origin is None or origin in self.origins or "*" in self.origins:
            return
        if origin not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, "pages of this origin may not read; see --allow_origin")
