"""Remember the order of a response's parts where OpenAI's message cannot express it.

The problem: OpenAI's message has separate fields for text, reasoning and tool calls. Anthropic,
Gemini and others mix these parts, sign them, add parts of their own, and require all of them
unchanged in the next request.

The idea: a layout is a list of items in the original order, kept in the message's
`provider_specific_fields`. `{"from": field}` stands for the next value of that field (for text, its
next `length` characters), together with what else the part had. Any other item is a whole part.

The invariant: a layout never repeats what the message has, and it is used only while it fits the
message. An edited message is encoded from its fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Item = dict[str, Any]
_OWN = frozenset({"from", "length"})


def is_plain(layout: Sequence[Item], order: Sequence[str]) -> bool:
    """Return whether the message's fields, in `order`, are enough without a layout."""
    if any(item.get("from") not in order or not item.keys() <= _OWN for item in layout):
        return False
    positions = [order.index(item["from"]) for item in layout]
    texts = [item["from"] for item in layout if "length" in item]
    return positions == sorted(positions) and len(texts) == len(set(texts))


def unpack(
    layout: Any, message: Mapping[str, Any], fields: Sequence[str]
) -> list[tuple[Item, Any]] | None:
    """Return each item with the value that it stands for, or with None for a whole part.

    Returns None if there is no layout, or if `message` was edited since; then its `fields` count.
    """
    if not isinstance(layout, list) or not layout:
        return None
    taken = dict.fromkeys(fields, 0)
    pairs: list[tuple[Item, Any]] = []
    for item in layout:
        field = item.get("from")
        if field is None:
            pairs.append((item, None))
            continue
        text = "length" in item
        source = message.get(field) or ("" if text else [])
        start = taken.get(field, 0)
        end = start + (item["length"] if text else 1)
        if end > len(source) or isinstance(source, str) is not text:
            return None
        pairs.append((item, source[start:end] if text else source[start]))
        taken[field] = end
    whole = all(len(message.get(field) or ()) == taken[field] for field in fields)
    return pairs if whole else None


def extras(item: Item) -> Item:
    """Return what the part had beside its value."""
    return {key: value for key, value in item.items() if key not in _OWN}


def in_order(message: Mapping[str, Any], fields: Sequence[str]) -> Iterator[tuple[Item, Any]]:
    """Yield items and values of `fields` in order, in the form of `unpack`."""
    for field in fields:
        value = message.get(field)
        if isinstance(value, str):
            yield {"from": field}, value
        else:
            yield from (({"from": field}, item) for item in value or ())
