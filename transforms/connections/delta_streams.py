"""How Redis holds the deltas of each id: what writes them and what reads them agree on it. Pure.

With `per_id=true` in the address of the sink, each id has a stream `KEY:deltas:ID`. The number of
an entry has two parts of 64 bits: the order and a part of the nonce of the submission, and the
attempt and the `seq` of the delta. Redis refuses a number that is not larger than the last one, so
a stream has no delta twice, and none of an older submission or attempt after one of a newer one.

A prompt that fails adds a last entry, with the class of its error in the field `failed`.

The stream `KEY:begun` has an entry with the field `id` for each answer that begins.

A request to stop the answer of an id is an entry of the stream `KEY:stops`, with the field `id`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

KEY = "ritellm"
# About as many requests to stop are kept. A worker reads them as they come.
MOST_STOPS = 1_000
# About as many answers that have begun are listed.
MOST_BEGUN = 1_000
_OPTIONS = ("key", "per_id", "maxlen", "ttl")


def deltas_of(key: str, id: str) -> str:
    """Return the name of the stream of the deltas of `id`."""
    return f"{key}:deltas:{id}"


def begun_of(key: str) -> str:
    """Return the name of the stream of the answers that have begun."""
    return f"{key}:begun"


def stops_of(key: str) -> str:
    """Return the name of the stream of requests to stop."""
    return f"{key}:stops"


def entry_number(order: int, nonce: str, attempt: int, seq: int) -> tuple[int, int]:
    """Return the two parts of the number of an entry."""
    return order << 16 | int(nonce[:4] or "0", 16), attempt << 32 | seq


def attempt_and_seq(second: int) -> tuple[int, int]:
    """Return the attempt and the `seq` in the second part of the number of an entry."""
    return second >> 32, second & 0xFFFFFFFF


def has_streams_of_ids(url: str) -> bool:
    """Return whether the sink at `url` writes a stream for each id."""
    return split_options(url)[1].get("per_id", "").lower() == "true"


def split_options(url: str) -> tuple[str, dict[str, str]]:
    """Return `url` without the options of the streams, and these options."""
    address, _, query = url.partition("?")
    given = dict(parse_qsl(query))
    own = {name: given.pop(name) for name in _OPTIONS if name in given}
    return address + ("?" + urlencode(given) if given else ""), own
