"""Where a failed row goes: to Beam's dead letters by itself, or it ends its bundle.

The problem: RunInference gives a handler a batch and takes a list of results. If the handler
raises, `with_exception_handling` makes the whole batch a dead letter: one bad row would lose the
completions of all others, which are paid for. Beam does not tell a handler whether dead letters
exist.

The idea: a failed row leaves the handler as an element that is tagged for the dead letters, in
Beam's own form, as a batch of one. Beam passes tagged elements on. The call stack shows whether the
dead letters exist: the method that catches a handler's exceptions is then on it (`_CATCHERS`).

What holds: without dead letters a failed row raises, so no row is lost in silence. In a version of
Beam without these methods a failed row always raises, as in other handlers; `setup.py` pins Beam.
"""

from __future__ import annotations

import sys
import traceback
from types import CodeType
from typing import Any, NamedTuple

from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    MaybeKeyedModelHandler,
    PredictionResult,
)
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms import core

from ritellm import errors
from ritellm.errors import RitellmError
from transforms.elements import DeadLetter


class Catcher(NamedTuple):
    """What catches the exceptions of a handler: the tag of its dead letters, and its classes.

    `pairs` says that one of Beam's own keyed handlers is between and pairs each result with a key.
    """

    tag: str = "bad"
    classes: Any = Exception
    pairs: bool = False


def catcher() -> Catcher | None:
    """Return what catches the exceptions of the handler that calls this, or None."""
    pairs, frame = False, sys._getframe(1)
    while frame is not None:
        pairs = pairs or frame.f_code in _PAIRING
        if frame.f_code is _CATCHING:
            beam = frame.f_locals["self"]
            return Catcher(beam._dead_letter_tag, beam._exc_class, pairs)
        if frame.f_code in _ELSEWHERE:
            return Catcher(pairs=pairs)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def failed(
    letter: DeadLetter, element: Any, result: PredictionResult, caught: Catcher | None
) -> Any:
    """Return what leaves the handler for a failed row: `element` as a dead letter of its own.

    Between Beam's own keyed handlers and their dead letters no element can be tagged: there it is
    `result`. Raises the error if Beam does not catch it.
    """
    error = error_of(letter)
    if caught is None or not issubclass(type(error), caught.classes):
        raise error
    if caught.pairs:
        return result
    trace = traceback.format_exception(error)
    return TaggedOutput(caught.tag, ([element], (type(error), repr(error), trace)))


def error_of(letter: DeadLetter) -> RitellmError:
    """Return the error that `letter` was made from, as far as it has it."""
    kind = getattr(errors, letter.error_type, RitellmError)
    error: RitellmError = kind(
        letter.message,
        status_code=letter.status_code,
        retryable=letter.retryable,
        attempts=letter.attempts,
    )
    return error


def _code(method: Any) -> CodeType:
    code: CodeType = method.__code__
    return code


_CATCHING = _code(
    core._ExceptionHandlingWrapperDoFn.exception_handling_wrapper_do_fn_custom_process
)
# With `timeout` Beam calls the handler in a function of this method on another thread, and with
# `use_subprocess` in another process. RunInference passes no other tag.
_IN_A_THREAD = core._TimeoutDoFn.process.__code__.co_consts
_ELSEWHERE = {
    _code(core._SubprocessDoFn._remote_process),
    *(const for const in _IN_A_THREAD if isinstance(const, CodeType)),
}
_PAIRING = {_code(KeyedModelHandler.run_inference), _code(MaybeKeyedModelHandler.run_inference)}
