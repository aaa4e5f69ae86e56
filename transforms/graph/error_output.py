"""Beam's error handling for the transforms that have dead letters.

| call | what the transform returns | where the failures go |
|---|---|---|
| nothing | all outputs, `.dead_letters` among them | that output |
| `error_handler=h`, `.with_error_handler(h)` | its main output | `h` gets each `DeadLetter` |
| `.with_exception_handling()` | `good, bad` | `bad`: `(element, (class, message, lines))` |

A transform with deltas too returns them beside its main output.
"""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
from apache_beam.transforms.core import DeadLetter as BeamDeadLetter

from ritellm import errors
from transforms import exact_json
from transforms.elements import DeadLetter, Prompt

Self = TypeVar("Self", bound="ErrorOutput")


class _Element(NamedTuple):
    """How to make the element of a failure in Beam's form, and its type."""

    of: Callable[[DeadLetter], Any]
    type: Any


def _prompt(letter: DeadLetter) -> Prompt:
    return Prompt(letter.id, letter.request, letter.input, letter.place)


def _row(letter: DeadLetter) -> Any:
    return None if letter.input is None else exact_json.loads(letter.input)


def _id(letter: DeadLetter) -> str:
    return letter.id


# The element of a failed prompt, of a row without a prompt, and of deltas without an end.
OF_PROMPT, OF_ROW, OF_DELTAS = _Element(_prompt, Prompt), _Element(_row, Any), _Element(_id, str)


class _Tags(NamedTuple):
    good: str
    bad: str


class ErrorOutput:
    """The methods that a transform with dead letters inherits; its `expand` ends in `_handled`."""

    _error_handler: Any = None
    _error_tags: _Tags | None = None

    def with_error_handler(self: Self, error_handler: Any) -> Self:
        """Return the transform with its dead letters sent to Beam's `error_handler`."""
        found = copy.copy(self)
        found._error_handler = checked(error_handler)
        return found

    def with_exception_handling(
        self: Self,
        main_tag: str = "good",
        dead_letter_tag: str = "bad",
        *,
        error_handler: Any = None,
    ) -> Self:
        """Return the transform with two outputs, as Beam's `ParDo.with_exception_handling` has.

        An element of the second one is `(element, (class of the error, message, lines))`. With an
        `error_handler` it is `with_error_handler`.
        """
        found = self.with_error_handler(error_handler)
        if error_handler is None:
            found._error_tags = _Tags(main_tag, dead_letter_tag)
        return found

    def _handled(
        self,
        outputs: Any,
        main: str,
        failed: tuple[str, ...],
        element: _Element,
        more: tuple[str, ...] = (),
    ) -> Any:
        """Return `outputs`, or what Beam's convention makes of `main` and `failed`.

        `failed` are the names of the outputs with dead letters, and `more` those of outputs that
        the caller has asked for beside the main one.
        """
        if self._error_handler is None and self._error_tags is None:
            return outputs
        good = getattr(outputs, main)
        letters = [getattr(outputs, each) for each in failed]
        if self._error_handler is not None:
            for each in letters:
                self._error_handler.add_error_pcollection(each)
            return _named((main, *more), (good, *(getattr(outputs, each) for each in more)))
        assert self._error_tags is not None
        to_beams = beam.Map(_as_beams, element.of).with_output_types(BeamDeadLetter[element.type])
        together = letters[0] if len(letters) == 1 else letters | "DeadLetters" >> beam.Flatten()
        bad = together | "ToBeamsForm" >> to_beams
        values = (good, bad, *(getattr(outputs, each) for each in more))
        return _named((*self._error_tags, *more), values)


def checked(error_handler: Any) -> Any:
    """Return `error_handler`; raises TypeError unless it is one of Beam's or None."""
    if error_handler is not None and not hasattr(error_handler, "add_error_pcollection"):
        raise TypeError(
            "error_handler must be a Beam ErrorHandler, got a value of type"
            f" {type(error_handler).__name__}"
        )
    return error_handler


def _named(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return values[0] if len(names) == 1 else namedtuple("Outputs", names)(*values)


def _as_beams(letter: DeadLetter, make: Callable[[DeadLetter], Any]) -> Any:
    error = getattr(errors, letter.error_type, None)
    known = isinstance(error, type) and issubclass(error, errors.RitellmError)
    return make(letter), (error if known else errors.RitellmError, message(letter), [])


def message(letter: DeadLetter) -> str:
    """Return the class of the error and its message in one text."""
    return f"{letter.error_type}: {letter.message}"
