"""Ids in the memory of the process: those of the newest prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pipelines.serve_deltas.prompts.claims.base import Claim

_MOST = 10_000


class ProcessClaims:
    """The ids of the newest prompts; `has_answer` says whether an id has an answer."""

    def __init__(self, has_answer: Callable[[str], bool], most: int = _MOST) -> None:
        self._has_answer, self._most = has_answer, most
        self._digests: OrderedDict[str, str] = OrderedDict()

    async def claim(self, id: str, digest: str) -> Claim:
        """Claim the id for the prompt with `digest`."""
        held = self._digests.get(id)
        if held is not None:
            return Claim.TAKEN if held == digest else Claim.OTHER
        if self._has_answer(id):
            return Claim.OTHER
        self._digests[id] = digest
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)
        return Claim.NEW

    async def confirm(self, id: str, digest: str) -> None:
        """The claim holds already."""

    async def release(self, id: str) -> None:
        """Give the id back."""
        self._digests.pop(id, None)

    async def aclose(self) -> None:
        """There is nothing to close."""
