"""The names of outputs, and which output an outcome goes to."""

from __future__ import annotations

from collections.abc import Mapping

from transforms.elements import Completion, DeadLetter, Delta, Record

COMPLETIONS = "completions"
DEAD_LETTERS = "dead_letters"
DELTAS = "deltas"
INCOMPLETE = "incomplete"
PACING = "pacing"
PROMPTS = "prompts"
RECORDS = "records"

OF_OUTCOME: Mapping[type, str] = {
    Delta: DELTAS,
    Record: RECORDS,
    Completion: COMPLETIONS,
    DeadLetter: DEAD_LETTERS,
}
