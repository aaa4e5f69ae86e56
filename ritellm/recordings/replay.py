"""Replays a recording in place of a provider: the model `replay/PATH`, or `PATH#2` for call 2."""

from __future__ import annotations

from pathlib import Path

from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import InvalidRequestError
from ritellm.providers import PROVIDERS
from ritellm.recordings.format import read_call

PREFIX = "replay/"
_DIGITS = 9  # of the number of a call


def load(model: str, timed: bool) -> tuple[str, Endpoint, str]:
    """Return the recorded model, the endpoint that replays it, and the call's `on_interrupt`.

    Raises InvalidRequestError.
    """
    path, mark, number = model.removeprefix(PREFIX).rpartition("#")
    if not mark or not number.isdecimal() or len(number) > _DIGITS:
        path, number = model.removeprefix(PREFIX), "1"
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidRequestError(f"cannot replay {path}: {reason}") from None
    try:
        call = read_call(lines, int(number), timed)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"cannot replay {path}: {error.message}") from None
    provider = PROVIDERS.get(call.provider) or Provider(call.provider, call.wire)
    endpoint = Endpoint(provider, call.base_url, wire=call.wire, tape=call.tape)
    return call.model, endpoint, call.on_interrupt
