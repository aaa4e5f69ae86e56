"""Names the submissions of prompts: `Delta.submission`. No Beam, no HTTP.

The order of a submission is the time in milliseconds, but larger than that of every submission of
the same prompt that is known: those of this process, and those that a journal or a state holds. So
a clock that jumps back does not make an old text the newest one.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from ritellm.chunks.submission import nonce_of, order_of, submission_of
from ritellm.errors import ABOUT_VALUES, InvalidRequestError
from transforms.elements import Completion
from transforms.journal.key import request_hash


class Orders:
    """Gives each submission of a process a larger order than the one before."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._last = 0

    def after(self, earlier: int) -> int:
        """Return an order after `earlier`, and after what the clock has given in this process."""
        with self._lock:
            self._last = max(int(self._now() * 1000), self._last + 1)
            return max(self._last, earlier + 1)


_ORDERS = Orders()


def new_submission(digest: str, earlier: int = 0, orders: Orders = _ORDERS) -> str:
    """Return the name of a submission of the request with `digest`, newer than order `earlier`."""
    return submission_of(digest, orders.after(earlier), secrets.token_hex(6))


def digest_of(request: str, body: Mapping[str, Any]) -> str:
    """Return the digest of a prompt's own request: 16 hex digits, whatever the order of its keys.

    `request` is the text of a `body` that cannot be written as JSON.
    """
    try:
        return request_hash("", None, {}, body)[:16]
    except (InvalidRequestError, *ABOUT_VALUES):
        return blake2b(request.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def replayed(digest: str, completion: Completion, last: int = 0) -> str:
    """Return the submission that `completion` came from, for the request with `digest`.

    The completion may be of an equal request, or of a run without deltas. It has the same name at
    each replay, so that readers do not take it for another text. If another process has sent the
    prompt later, in order `last`, the name is newer than that: its deltas may have been seen.
    """
    known = completion.submission or ""
    order, nonce = order_of(known), nonce_of(known)
    if not nonce:
        order = int((completion.ended_at or 0) * 1000)
        nonce = blake2b(completion.completion.encode(), digest_size=6).hexdigest()
    return submission_of(digest, order if order >= last else last + 1, nonce)
