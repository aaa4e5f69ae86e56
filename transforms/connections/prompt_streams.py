"""How Redis holds the prompts of a job: what adds them and what reads them agree on it. Pure.

The stream `KEY:prompts` is a queue. An entry has the field `json`, a row as in a file of prompts. A
group of readers shares the entries. An entry is deleted once the outcome of its prompt has been
published, so the length of the stream is the number of prompts that are not done.

`KEY:asked:ID` is there for a while after a prompt with this id was taken over HTTP, so that the
same prompt is not added twice.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from transforms.connections.delta_streams import KEY

GROUP = "ritellm"
# Seconds after which the entries of a reader that has died go to another one.
LEASE_SECONDS = 60
_OPTIONS = ("key", "group", "lease")
# Those of the deltas: one address may serve for both.
_OTHERS = ("per_id", "maxlen", "ttl")


def prompts_of(key: str) -> str:
    """Return the name of the stream of prompts."""
    return f"{key}:prompts"


def asked_of(key: str, id: str) -> str:
    """Return the name of what is known of the prompt that was taken with `id`."""
    return f"{key}:asked:{id}"


def split_source(url: str) -> tuple[str, str, str, int]:
    """Return the address in `url` without our options, then the key, the group and the lease.

    Raises ValueError for a lease that is not a positive number of seconds.
    """
    address, _, query = url.partition("?")
    given = dict(parse_qsl(query))
    own = {name: given.pop(name) for name in _OPTIONS if name in given}
    for name in _OTHERS:
        given.pop(name, None)
    lease = own.get("lease", str(LEASE_SECONDS))
    if not lease.isdecimal() or not 0 < int(lease) <= 86_400:
        raise ValueError(f"lease must be seconds from 1 to 86400, got {lease!r}")
    address += "?" + urlencode(given) if given else ""
    return address, own.get("key", KEY), own.get("group", GROUP), int(lease)
