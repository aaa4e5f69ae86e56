"""The records in the deltas of a bundle, as they close. No Beam.

What holds: records of an answer come out in order, with its submission and attempt. The final one
comes out only if the JSON has ended. A new attempt starts again at number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from ritellm.errors import ABOUT_VALUES
from ritellm.structured.chunks import ChunkElements
from ritellm.structured.elements import Element
from ritellm.structured.errors import JsonError
from ritellm.structured.paths import JsonPath
from transforms.elements import DeadLetter, Delta, Record
from transforms.worker.stops.stop_conditions import STOPPED

# The error types of answers that are not whole JSON.
INVALID, TRUNCATED = "RecordsInvalid", "RecordsTruncated"

# Returns what is wrong with a value, "" if nothing is.
Check = Callable[[Any], str]


def accept(_: Any) -> str:
    """Return that nothing is wrong."""
    return ""


def fault_of(element: Element, check: Check) -> str:
    """Return what is wrong with the value of `element`, "" if nothing is."""
    try:
        return check(element.value)
    except ABOUT_VALUES as error:
        return f"the value cannot be read: {error!r:.200}"


class DeltaRecords:
    """Turns the deltas of many prompts into records; the deltas of a prompt come in order."""

    def __init__(self, path: JsonPath, check: Check = accept) -> None:
        self._path, self._check = path, check
        self._answers: dict[tuple[str, str], _Answer] = {}

    def add(self, delta: Delta) -> Iterator[Record | DeadLetter]:
        """Yield the records that `delta` completes; at its end an answer may be a dead letter."""
        key = delta.id, delta.submission
        answer = self._answers.get(key)
        if answer is None or answer.attempt < delta.attempt:
            answer = self._answers[key] = _Answer(self._path, delta.attempt)
        if answer.attempt > delta.attempt:
            return
        for element in answer.read(delta):
            yield self._record(delta, element)
        if delta.final:
            del self._answers[key]
            yield answer.end(delta)

    def _record(self, delta: Delta, element: Element) -> Record:
        message = fault_of(element, self._check)
        return Record(
            delta.id,
            delta.submission,
            delta.attempt,
            element.index,
            element.path,
            element.raw,
            valid=not message,
            message=message or None,
            tool_call=element.tool_call,
        )


class _Answer:
    """One attempt at an answer."""

    __slots__ = ("_elements", "_error", "attempt")

    def __init__(self, path: JsonPath, attempt: int) -> None:
        self.attempt = attempt
        self._elements = ChunkElements(path, attempt=attempt)
        self._error: Exception | None = None

    def read(self, delta: Delta) -> list[Element]:
        """Return the elements that `delta` completes; none after a fault."""
        if self._error is not None:
            return []
        try:
            return self._elements.elements(orjson.loads(delta.chunk))
        except ABOUT_VALUES as error:
            self._error = error
            return self._elements.taken()

    def end(self, delta: Delta) -> Record | DeadLetter:
        """Return the final record; a dead letter if the JSON has not ended well."""
        elements = self._elements
        if self._error is None:
            try:
                elements.close()
            except JsonError as error:
                self._error = error
        if self._error is not None:
            return _letter(delta, INVALID, f"{self._error}", elements.count)
        if elements.truncated and elements.finish_reason != STOPPED:
            said = f"the JSON has not ended (finish_reason {elements.finish_reason!r:.50})"
            return _letter(delta, TRUNCATED, said, elements.count)
        return Record(
            delta.id,
            delta.submission,
            delta.attempt,
            elements.count,
            "$",
            None,
            valid=True,
            final=True,
            outcome=delta.outcome,
            input=delta.input,
        )


def _letter(delta: Delta, error_type: str, message: str, count: int) -> DeadLetter:
    return DeadLetter(
        id=delta.id,
        request="",
        error_type=error_type,
        message=f"{message}; {count} records came before",
        status_code=None,
        retryable=True,
        attempts=delta.attempt,
        partial_text="",
        input=delta.input,
    )
