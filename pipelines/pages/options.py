"""What the user wants to see on the page of a job. It imports no Beam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TextMode = Literal["none", "sample", "all"]
TEXT_MODES: tuple[TextMode, ...] = ("none", "sample", "all")
MOST_ROWS = 1_000


@dataclass(frozen=True)
class PageOptions:
    """What the page of a job has: at most `rows` rows in its browser, and which of their texts.

    "none" leaves out all that comes from rows and answers: prompts, answers, ids and messages.
    "sample" cuts long texts, "all" only those of more than 100,000 characters.
    """

    rows: int = MOST_ROWS
    text: TextMode = "sample"
