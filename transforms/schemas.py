"""Registers elements with Beam, so that every worker encodes and decodes them alike.

The problem: Beam finds the class of a row by the id of its schema. It draws the id at random, and a
worker that reads a coder before it has imported the class makes up a class of its own. Then an
updated job has other coders, and `isinstance` fails on rows that have crossed a shuffle.

The idea: the id depends on the columns only, and the class is known once its module is imported. A
class that Beam has made up before makes instances of the real one from then on.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import apache_beam as beam
from apache_beam.typehints.row_type import _BEAM_SCHEMA_ID
from apache_beam.typehints.schema_registry import SCHEMA_REGISTRY
from apache_beam.typehints.schemas import typing_to_runner_api


def register(element: type) -> None:
    """Register `element`, a NamedTuple or a dataclass, as a row with a constant schema id.

    Its annotations must be types, not texts: its module must not import `annotations` from
    `__future__`.
    """
    columns = f"{element.__module__}.{element.__name__} {element.__annotations__}"
    id = str(uuid5(NAMESPACE_URL, columns))
    made_up = SCHEMA_REGISTRY.get_typing_by_id(id)
    SCHEMA_REGISTRY.by_id.pop(id, None)
    setattr(element, _BEAM_SCHEMA_ID, id)
    beam.coders.registry.register_coder(element, beam.coders.RowCoder)
    typing_to_runner_api(element)  # Beam registers the class with its schema
    if made_up is not None:
        _make_instances_of(element, made_up)


def _make_instances_of(element: type, made_up: Any) -> None:
    """Let `made_up(*values)`, which existing coders call, return an `element`."""
    made_up.__new__ = lambda _, *values, **named: element(*values, **named)
