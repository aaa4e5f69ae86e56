"""Which records of one prompt belong to a whole answer, in any order and with repeats. No Beam."""

from __future__ import annotations

from collections.abc import Iterable

from ritellm.chunks.delta_rows import Rank
from transforms.elements import DeadLetter, Record


def whole_answer(id: str, records: Iterable[Record]) -> list[Record] | DeadLetter:
    """Return the records of the newest whole answer in order; a dead letter if none is whole.

    An answer is whole if its final record and all records before it are there. The final record is
    not among those that are returned.
    """
    answers: dict[Rank, dict[int, Record]] = {}
    for record in records:
        answer = answers.setdefault((record.submission, record.attempt), {})
        number = -1 if record.final else record.index  # one that claims the number of the end
        answer.setdefault(number, record)
    for rank in sorted(answers, reverse=True):
        answer = answers[rank]
        if -1 in answer:
            count = answer[-1].index
            if all(number in answer for number in range(count)):
                return [answer[number] for number in range(count)]
    return _incomplete(id, answers)


def missing_of(records: Iterable[Record], one: Record) -> int:
    """Return how many records the answer of `one` lacks, whose final record is there."""
    answer = [r for r in records if (r.submission, r.attempt) == (one.submission, one.attempt)]
    count = next((r.index for r in answer if r.final), 0)
    return count - len({r.index for r in answer if not r.final and r.index < count})


def _incomplete(id: str, answers: dict[Rank, dict[int, Record]]) -> DeadLetter:
    (_, attempt), answer = max(answers.items(), key=lambda item: item[0])
    final = answer.get(-1)
    end = "its final record is missing" if final is None else f"it must have {final.index}"
    return DeadLetter(
        id=id,
        request="",
        error_type="IncompleteRecords",
        message=f"attempt {attempt} has {len(answer) - (final is not None)} records; {end}",
        status_code=None,
        retryable=True,
        attempts=attempt,
        partial_text="",
        input=final.input if final else None,
    )
