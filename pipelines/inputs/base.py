"""What a format of input must offer to the batch program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class InputFormat(Protocol):
    """One format of input, for example JSON lines in files or the rows of a table.

    A location is the text that the user gives to `--input`. To add a format, write a module in
    this package with a class that has these members, and add a row to `formats.FORMATS`.
    """

    @property
    def has_order(self) -> bool:
        """Whether a row has a number that stays the same each time the input is read."""

    @property
    def needs_bucket(self) -> bool:
        """Whether the format is read through files in the job's `--temp_location`."""

    def match(self, location: str) -> bool:
        """Return whether `location` names an input of this format, by its scheme or its suffix."""

    def check(self, location: str) -> None:
        """Raise UsageError unless the input exists and its rows can be read."""

    def files(self, location: str) -> Sequence[str]:
        """Return the paths of the files at `location`, sorted; empty if it is not a file."""

    def count(self, location: str) -> int | None:
        """Return the number of rows, or None if counting them would cost too much."""

    def read(self, root: Any, location: str) -> Any:
        """Return the PCollection of the rows, each as a `Line` whose text is a JSON object."""
