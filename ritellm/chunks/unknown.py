"""Sum fields that this library does not know, so that nothing is lost. Pure.

The problem: servers and proxies stream fields of their own. One sends a citation with each chunk
under the same name, another sends a block in pieces, a third repeats the same fact in each chunk.

The idea: the shape of the values tells these apart. Text is joined and lists are extended. An
object is summed by its keys. Under one key, equal neighbours count once, and different values
become a list. The pieces of a block, which have its `index`, become one block.

A field beside the choices, or beside the delta of a choice, is a fact about the response. Many
chunks repeat it, some with newer numbers (`sum_facts`): objects are summed by their keys, lists and
the texts in objects are united, and a later number replaces an earlier one.

The invariants:
- Nothing that arrived is dropped, except repetitions, a number or a truth value that a later value
  of the same field replaces, and what `LATEST` names. Of facts, a text that is a field of its own
  is replaced, too, and any value by an object or a list of the same name.
- The cost is linear in the number of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

# Names of text, which may arrive in parts: repeated text is more text.
_TEXTS = frozenset(
    "arguments code content data delta input message output partial_json reasoning refusal stderr"
    " stdout summary text thinking transcript".split()
)
# Names of facts about a block, which each of its pieces may repeat.
_FACTS = frozenset("format id index model name object provider role signature status type".split())
# Google's and Anthropic's fields whose later value includes, or replaces, the earlier one.
LATEST = frozenset(
    "avgLogprobs citationMetadata finishMessage finishReason groundingMetadata promptFeedback"
    " safetyRatings tokenCount urlContextMetadata container context_management stop_details"
    " stop_reason stop_sequence".split()
)


def sum_unknown(values: Sequence[Any]) -> Any:
    """Return the sum of an unknown field by the type of its values; blocks are whole."""
    return _sum(values, whole=True)


def sum_unknown_pieces(values: Sequence[Any]) -> Any:
    """Return the sum of an unknown field, in which blocks stay in pieces."""
    return _sum(values, whole=False)


def sum_facts(values: Sequence[Any]) -> Any:
    """Return the sum of an unknown field that holds a fact about the response."""
    return _sum_facts(values, in_object=False)


def _sum_facts(values: Sequence[Any], *, in_object: bool) -> Any:
    if items := [v for v in values if isinstance(v, list) or (in_object and isinstance(v, str))]:
        return _united(items)
    if objects := [value for value in values if isinstance(value, Mapping)]:
        return {key: _sum_fact_column(key, column) for key, column in _columns(objects).items()}
    return values[-1]


def _sum_fact_column(key: str, items: Sequence[Any]) -> Any:
    if not items or key in LATEST:
        return items[-1] if items else None
    return _sum_facts(items, in_object=True)


def _united(values: Iterable[Any]) -> Any:
    """Return the items of lists, each once, and texts as such items; a single text as itself."""
    found: list[Any] = []
    seen = set[Any]()
    was_list = False
    for value in values:
        was_list = was_list or isinstance(value, list)
        items = value if isinstance(value, list) else [value]
        fresh = [(name, item) for item in items if (name := _name(item)) not in seen]
        seen.update(name for name, _ in fresh)
        found += [item for _, item in fresh]
    return found[0] if len(found) == 1 and not was_list else found


def _name(item: Any) -> Any:
    """Return what equal items have in common, so that finding them takes no comparisons."""
    try:
        return orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # of too many levels, or an integer of more than 64 bits
        return id(item)


def _sum(values: Sequence[Any], *, whole: bool) -> Any:
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        items = [item for value in values for item in value]
        return _joined(items) if whole else items
    if all(isinstance(value, Mapping) for value in values):
        return _sum_objects(values, whole)
    if any(isinstance(value, (list, Mapping)) for value in values):
        return _collected(values)
    return values[-1]


def _sum_objects(values: Iterable[Mapping[str, Any]], whole: bool) -> dict[str, Any]:
    return {key: _sum_column(key, items, whole) for key, items in _columns(values).items()}


def _columns(objects: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values under each key of `objects`, without nulls."""
    columns: dict[str, list[Any]] = {}
    for each in objects:
        for key, item in each.items():
            column = columns.setdefault(key, [])
            if item is not None:
                column.append(item)
    return columns


def _sum_column(key: str, items: list[Any], whole: bool) -> Any:
    """Return the sum of the values under one key of an object."""
    if not items:
        return None
    if len(items) == 1 or key in LATEST:
        return items[-1]
    if all(isinstance(item, list) for item in items):
        return _sum(items, whole=whole)
    if key in _TEXTS and all(isinstance(item, str) for item in items):
        return "".join(items)
    if all(isinstance(item, Mapping) for item in items) and _is_one_block(items):
        return _sum_objects(items, whole)
    return _collected(items)


def _collected(items: Iterable[Any]) -> Any:
    """Return different values as a list, and a single one as itself."""
    found: list[Any] = []
    was_list = False
    for item in items:
        more = item if isinstance(item, list) else [item]
        was_list = was_list or more is item
        found += more[1:] if found and more and _same(found[-1], more[0]) else more
    return found[0] if len(found) == 1 and not was_list else found


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _is_one_block(items: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether `items` hold only text, and the same facts about it."""
    facts: dict[str, Any] = {}
    for item in items:
        for key, value in item.items():
            if key in _TEXTS and (value is None or isinstance(value, str)):
                continue
            if key not in _FACTS or facts.setdefault(key, value) != value:
                return False
    return any(key in _TEXTS for item in items for key in item)


class _Block:
    """The pieces of one block, and the facts in them."""

    __slots__ = ("_facts", "pieces")

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self._facts: dict[str, Any] = {}

    def takes(self, piece: Mapping[str, Any]) -> bool:
        """Return whether `piece` belongs to this block. A signature is its last piece."""
        if self._facts.get("signature"):
            return False
        for key, value in piece.items():
            known = self._facts.get(key)
            if known in (None, "") or value in (None, "") or value == known:
                continue
            if key in _FACTS or not isinstance(value, str):
                return False
        return True

    def add(self, piece: Any) -> None:
        self.pieces.append(piece)
        if isinstance(piece, Mapping):
            for key, value in piece.items():
                if key not in _TEXTS and value is not None:
                    self._facts.setdefault(key, value)
                    if self._facts[key] == "":
                        self._facts[key] = value

    def whole(self) -> Any:
        if len(self.pieces) == 1:
            return self.pieces[0]
        columns: dict[str, list[Any]] = {}
        for piece in self.pieces:
            for key, value in piece.items():
                columns.setdefault(key, []).append(value)
        return {key: _sum_block_column(key, items) for key, items in columns.items()}


def _sum_block_column(key: str, items: Iterable[Any]) -> Any:
    known = [item for item in items if item is not None]
    if not known:
        return None
    if all(isinstance(item, str) for item in known):
        alike = key not in _TEXTS and len({item for item in known if item}) < 2
        return max(known, key=len) if alike else "".join(known)
    return known[-1]


def _joined(items: Iterable[Any]) -> list[Any]:
    """Return the items of a list, with pieces of the same `index` as one block."""
    blocks: list[_Block] = []
    newest: dict[int, _Block] = {}
    for item in items:
        index = item.get("index") if isinstance(item, Mapping) else None
        block = newest.get(index) if isinstance(index, int) else None
        if block is None or not block.takes(item):
            block = _Block()
            blocks.append(block)
            if isinstance(index, int):
                newest[index] = block
        block.add(item)
    return [block.whole() for block in blocks]
