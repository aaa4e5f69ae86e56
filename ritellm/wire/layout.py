"""In which order the parts of an answer came, where OpenAI's message cannot say it.

OpenAI keeps text, reasoning and tool calls in fields of their own. Anthropic and Gemini mix them,
sign them, put parts of their own between, and want all of it back as it was. A layout is a list of
items: `{"from": field}` stands for the next value of that field of the message (for text: its next
`length` characters), with whatever else the part carried; any other item is a part kept whole.
It lies in the message's `provider_specific_fields`, and never repeats what the message says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Item = dict[str, Any]
_OWN = frozenset({"from", "length"})


def is_plain(layout: Sequence[Item], order: Sequence[str]) -> bool:
    """Return whether the message's fields, taken in `order`, say it all without a layout."""
    if any(item.get("from") not in order or not item.keys() <= _OWN for item in layout):
        return False
    places = [order.index(item["from"]) for item in layout]
    texts = [item["from"] for item in layout if "length" in item]
    return places == sorted(places) and len(texts) == len(set(texts))


def unpack(
    layout: Any, message: Mapping[str, Any], fields: Sequence[str]
) -> list[tuple[Item, Any]] | None:
    """Return each item with the value it stands for (None where it is a part kept whole).

    None if there is no layout, or if `message` has been edited since: then its `fields` count.
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
    """Return what the part carried beside its value."""
    return {key: value for key, value in item.items() if key not in _OWN}


def in_order(message: Mapping[str, Any], fields: Sequence[str]) -> Iterator[tuple[Item, Any]]:
    """Yield the values of `fields`, one after the other, as `unpack` does."""
    for field in fields:
        value = message.get(field)
        if isinstance(value, str):
            yield {"from": field}, value
        else:
            yield from (({"from": field}, item) for item in value or ())
