"""Deltas of a completion, as a sink gets them."""

from __future__ import annotations

import orjson
from apache_beam.transforms.window import TimestampedValue

from transforms import Delta


def deltas_of(id, attempt=1, pieces=("x", "y", "z"), final=True):
    made = []
    for seq, text in enumerate(pieces):
        chunk = orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).decode()
        made.append(Delta(id, attempt, seq, text, None, chunk))
    if final:
        made.append(Delta(id, attempt, len(pieces), "", None, '{"choices":[]}', True, "{}"))
    return made


def at(second, *deltas):
    return [TimestampedValue(delta, second) for delta in deltas]
