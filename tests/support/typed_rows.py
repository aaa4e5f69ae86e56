"""Rows as users of Beam write them."""

from dataclasses import dataclass
from typing import NamedTuple, Optional

import apache_beam as beam


class NamedRow(NamedTuple):
    """A NamedTuple with a column more."""

    id: str
    request: str
    score: int


class OtherRow(NamedTuple):
    """A row that is no prompt."""

    id: str
    text: Optional[str]  # noqa: UP045


@dataclass(frozen=True)
class FrozenRow:
    """A dataclass with a schema, and the columns in another order."""

    request: str
    id: str


@dataclass(frozen=True)
class UnregisteredRow:
    """A dataclass without a schema, its annotations postponed."""

    id: "str"
    request: "str"


beam.coders.registry.register_coder(FrozenRow, beam.coders.RowCoder)
