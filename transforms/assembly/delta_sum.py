"""The sum of deltas of one prompt, in any order and with any repetition, and its form as bytes.

The problem: a combiner holds the sums of a hundred thousand prompts at once, a runner moves them
between workers, and an updated job reads what the job before it has written.

The idea: a sum for each text, that is for each attempt of each submission. The chunks of a text are
added up when they arrive. A whole text becomes a completion, and all older texts are dropped. The
bytes are JSON with a version.

What holds: adding and merging are associative, commutative and idempotent. The newest whole text is
the outcome. A completion is never joined from two texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from ritellm.chunks.delta_rows import Rank
from ritellm.chunks.sequenced import SequencedSum
from ritellm.errors import ABOUT_VALUES
from transforms.columns import fits
from transforms.elements import Completion, DeadLetter, Delta
from transforms.worker.outcomes import text_of, to_completion

_VERSION = 1
_NO_TEXT: Rank = ("", 0)


class DeltaSum:
    """The sum of some deltas of one prompt."""

    __slots__ = ("_texts", "_whole", "id")

    def __init__(self) -> None:
        self.id = ""
        self._whole: tuple[Rank, Completion] | None = None  # the newest whole text
        self._texts: dict[Rank, _Text] = {}  # those that are newer

    def add(self, delta: Delta) -> None:
        """Add `delta`; adding it again changes nothing."""
        self.id = self.id or delta.id
        rank = delta.submission, delta.attempt
        if self._is_void(rank):
            return
        text = self._texts.get(rank)
        if text is None:
            text = self._texts[rank] = _Text()
        text.add(delta)
        self._collapse(rank, text)

    def merge(self, other: DeltaSum) -> None:
        """Add the deltas of `other`, which stays as it is."""
        self.id = self.id or other.id
        if other._whole is not None:
            self._keep(*other._whole)
        for rank, theirs in other._texts.items():
            if not self._is_void(rank):
                text = self._texts.setdefault(rank, _Text())
                text.merge(theirs)
                self._collapse(rank, text)

    def missing(self, delta: Delta) -> int:
        """Return how many deltas the text of `delta` lacks, if its final one is there."""
        text = self._texts.get((delta.submission, delta.attempt))
        if text is None or text.sum.end is None:
            return 0
        return max(1, text.sum.end + 1 - text.sum.length - len(text.sum.waiting))

    def compact(self) -> None:
        """Store what has arrived in less memory."""
        for text in self._texts.values():
            with suppress(*ABOUT_VALUES):
                text.sum.fold()

    def outcome(self) -> Completion | DeadLetter:
        """Return the completion of the newest whole text, else a dead letter.

        Deltas from a topic may hold anything: an odd one never raises.
        """
        if self._whole is not None:
            return self._whole[1]
        rank = max(self._texts, default=_NO_TEXT)
        text = self._texts.get(rank) or _Text()
        if text.problem:
            return self._unreadable(rank, text)
        try:
            return self._incomplete(rank, text)
        except ABOUT_VALUES as error:
            text.problem = f"{error!r:.200}"
            return self._unreadable(rank, text)

    def to_bytes(self) -> bytes:
        """Return the sum as bytes; its texts may be folded."""
        whole: list[Any] | None = None
        if self._whole is not None:
            (submission, attempt), completion = self._whole
            whole = [submission, attempt, completion._asdict()]
        texts = [[*rank, *text.to_row()] for rank, text in self._texts.items()]
        return orjson.dumps([_VERSION, self.id, whole, texts])

    @classmethod
    def of_bytes(cls, data: bytes) -> DeltaSum:
        """Return the sum in `data`; raises ValueError for anything else."""
        try:
            version, id, whole, texts = orjson.loads(data)
            if version != _VERSION:
                raise ValueError(f"version {version!r:.20}")
            made = cls()
            made.id = _a(str, id)
            if whole is not None:
                submission, attempt, columns = whole
                completion = Completion(**columns)
                if not fits(completion):
                    raise ValueError("odd columns")
                made._whole = (_a(str, submission), _a(int, attempt)), completion
            for submission, attempt, *row in texts:
                made._texts[_a(str, submission), _a(int, attempt)] = _Text.of_row(*row)
            return made
        except ABOUT_VALUES as error:
            raise ValueError(f"not a sum of deltas: {error!r:.200}") from None

    def _is_void(self, rank: Rank) -> bool:
        return self._whole is not None and rank <= self._whole[0]

    def _collapse(self, rank: Rank, text: _Text) -> None:
        """Replace a whole text by its completion."""
        completion = text.completion(self.id, rank)
        if completion is not None:
            self._keep(rank, completion)

    def _keep(self, rank: Rank, completion: Completion) -> None:
        if not self._is_void(rank):
            self._whole = rank, completion
            self._texts = {each: text for each, text in self._texts.items() if each > rank}

    def _incomplete(self, rank: Rank, text: _Text) -> DeadLetter:
        _, attempt = rank
        end, seen = text.sum.end, text.sum.length
        missing = "its final delta" if end is None else f"delta {seen} of {end}"
        said = f"attempt {attempt} has {seen} deltas without a gap; {missing} is missing"
        partial = text_of(text.sum.sum.completion())
        return self._letter("IncompleteDeltas", said, attempt, text, partial)

    def _unreadable(self, rank: Rank, text: _Text) -> DeadLetter:
        said = f"a delta has a value that cannot be read ({text.problem})"
        return self._letter("UnreadableDeltas", said, rank[1], text, "")

    def _letter(
        self, error_type: str, message: str, attempt: int, text: _Text, partial: str
    ) -> DeadLetter:
        return DeadLetter(
            id=self.id,
            request="",
            error_type=error_type,
            message=message,
            status_code=None,
            retryable=error_type == "IncompleteDeltas",
            attempts=attempt,
            partial_text=partial,
            input=text.input,
        )


class _Text:
    """One attempt of a submission. Its final delta has `outcome` and `input`.

    A text with a `problem` cannot be read, and never becomes a completion.
    """

    __slots__ = ("input", "outcome", "problem", "sum")

    def __init__(self) -> None:
        self.sum = SequencedSum()
        self.outcome: str | None = None
        self.input: str | None = None
        self.problem = ""

    def add(self, delta: Delta) -> None:
        if delta.final and self.sum.end is None:
            self.outcome, self.input = delta.outcome, delta.input
        try:
            self.sum.add(delta.seq, delta.chunk, final=delta.final)
        except ValueError as error:
            self.problem = str(error)

    def merge(self, other: _Text) -> None:
        if self.sum.end is None:
            self.outcome, self.input = other.outcome, other.input
        try:
            self.sum.merge(other.sum)
        except ValueError as error:
            self.problem = str(error)
        self.problem = self.problem or other.problem

    def completion(self, id: str, rank: Rank) -> Completion | None:
        """Return the completion of a whole text; None for another one."""
        if self.problem or not self.sum.is_whole:
            return None
        try:
            closing = orjson.loads(self.outcome or "{}")
            whole: Mapping[str, Any] = self.sum.sum.completion()
            if "answer" in closing:  # it is the first field
                rest = {name: value for name, value in whole.items() if name != "answer"}
                usage = closing.get("usage") or whole.get("usage")
                whole = {"answer": closing["answer"], **rest, "usage": usage}
            found = to_completion(id, whole, closing, self.input)
            if not fits(found):
                raise TypeError("the outcome in the final delta has a value of another type")
            return found._replace(submission=rank[0] or None)
        except ABOUT_VALUES as error:
            self.problem = f"{error!r:.200}"
            return None

    def to_row(self) -> list[Any]:
        """Return the text as values of JSON."""
        made, chunk = self.sum, self.folded()
        waiting = sorted((seq, _text_of_json(each)) for seq, each in made.waiting.items())
        return [made.length, chunk, waiting, made.end, self.outcome, self.input, self.problem]

    def folded(self) -> orjson.Fragment | None:
        """Return the JSON of the summed chunks; None if there are none or they are unreadable."""
        try:
            return orjson.Fragment(orjson.dumps(dict(self.sum.fold()))) if self.sum.length else None
        except ABOUT_VALUES as error:
            self.problem = self.problem or f"{error!r:.200}"
            return None

    @classmethod
    def of_row(
        cls, length: Any, chunk: Any, waiting: Any, end: Any, outcome: Any, input: Any, problem: Any
    ) -> _Text:
        made = cls()
        folded = _a(Mapping, {} if chunk is None else chunk)
        after = {_a(int, seq): _a(str, each) for seq, each in waiting}
        made.sum = SequencedSum.of(folded, max(0, _a(int, length)), after, _a(int | None, end))
        made.outcome, made.input = _a(str | None, outcome), _a(str | None, input)
        made.problem = _a(str, problem)
        return made


def _text_of_json(chunk: Any) -> str:
    return chunk if isinstance(chunk, str) else orjson.dumps(chunk).decode()


def _a(kind: Any, value: Any) -> Any:
    """Return `value`; raises TypeError if it is of another kind."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"expected {kind}, got {value!r:.80}")
    return value
