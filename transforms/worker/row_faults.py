"""Which exceptions end one row, and which end the bundle.

The problem: a row or an answer may hold values of any shape, and one of them must not end the job.
A failure of what all rows share (the journal, the budget's server, a sink) must end the bundle, so
that the runner tries it again, and not turn every row into a dead letter.

The rule: Python's own errors about values are about one row, which becomes a dead letter with the
reason. So are the errors of `ritellm`. Every other exception ends the bundle.
"""

from __future__ import annotations

from ritellm.errors import ABOUT_VALUES, RitellmError

OF_A_ROW = (RitellmError, *ABOUT_VALUES)


class UnforeseenError(RitellmError):
    """A value in the row or in its answer cannot be processed; the other rows go on."""


def of_row(error: Exception) -> RitellmError:
    """Return the error of the dead letter for `error`, one of OF_A_ROW."""
    if isinstance(error, RitellmError):
        return error
    text = f"{type(error).__name__}: {error}"
    return UnforeseenError(f"the row or its answer has a value that cannot be processed ({text})")
