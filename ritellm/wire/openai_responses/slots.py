"""Tells the items of a response apart, by their ids and by their output_index. No I/O.

The problem: some servers number several items alike, and others send another id with each event.

The idea: an item is known by its id. An unknown id belongs to the newest item of its output_index,
unless that one is complete or another item begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The output_index, and the number of the item among those with the same one. Slots sort in order.
Slot = tuple[Any, int]


class Slots:
    """The items of one response so far."""

    __slots__ = ("_done", "_newest", "by_id")

    def __init__(self) -> None:
        self.by_id: dict[Any, Slot] = {}  # a decoder looks here first, which saves a call
        self._newest: dict[Any, Slot] = {}  # by output_index
        self._done: set[Slot] = set()

    def of(self, kind: str, payload: Mapping[str, Any]) -> Slot:
        """Return the slot of the item that an event of type `kind` belongs to."""
        id = payload.get("item_id") or (payload.get("item") or {}).get("id")
        slot = self.by_id.get(id) if isinstance(id, str) else None
        if slot is None:
            slot = self._unknown(kind, payload.get("output_index") or 0, isinstance(id, str))
            if isinstance(id, str):
                self.by_id[id] = slot
        if kind == "response.output_item.done":
            self._done.add(slot)
        return slot

    def _unknown(self, kind: str, index: Any, has_id: bool) -> Slot:
        newest = self._newest.get(index)
        begins = has_id and kind == "response.output_item.added"
        if newest is None or newest in self._done or begins:
            newest = self._newest[index] = (index, 0 if newest is None else newest[1] + 1)
        return newest
