"""The elements of the pipelines: typed rows that SQL, YAML and other languages can read.

They are registered with Beam's RowCoder, which is smaller and faster than pickle and open to
cross-language transforms. Nested values are JSON text.
"""

# No `from __future__ import annotations`: Beam reads these annotations as types. Beam does not know
# `str | None`: it would pickle the column, which no other language can read.
# ruff: noqa: UP045
from typing import Any, NamedTuple, Optional
from uuid import uuid4

import orjson

from transforms import exact_json
from transforms.prompts.requests import check_parameters, messages_request, text_request
from transforms.schemas import register


class Prompt(NamedTuple):
    """One prompt. `request` is the JSON of an OpenAI chat body (`messages` and parameters).

    A `model` in the body overrides the model of the transform, within the same provider. Parameters
    that decide where a request goes and with which key (`base_url`, `api_key`, ...) are refused.
    `input` is copied to the outcome: the JSON of the row of the prompt. So is `place`, the position
    of that row ("FILE:LINE"). `key` identifies the row in the journal in place of `id`, for rows
    whose id is only their position; it is unique in a job.
    """

    id: str
    request: str
    input: Optional[str] = None
    place: Optional[str] = None
    key: Optional[str] = None

    @classmethod
    def of_text(
        cls, text: str, id: Optional[str] = None, input: Optional[str] = None, **params: Any
    ) -> "Prompt":
        """Return a prompt with `text` as the message of a user.

        `params` are parameters of `ritellm.completion`, such as `temperature=0`. Without an `id`
        it gets a random one; `ToPrompts` gives ids that stay the same. Raises TypeError or
        ValueError.
        """
        check_parameters(params)
        return cls(_named(id), text_request(text, params), input)

    @classmethod
    def of_messages(
        cls, messages: Any, id: Optional[str] = None, input: Optional[str] = None, **params: Any
    ) -> "Prompt":
        """Return a prompt with `messages`, a list of objects or its JSON; the rest is as above."""
        check_parameters(params)
        return cls(_named(id), messages_request(messages, params), input)


def _named(id: Optional[str]) -> str:
    if id is None:
        return uuid4().hex
    if not isinstance(id, str) or not id:
        raise TypeError(f"id must be a text that is not empty, got {id!r}")
    return id


# Not a request: for a moment, the transform yields the outcomes of the prompts before it. A source
# without a next prompt sends this element, so that outcomes flow meanwhile.
PUMP = Prompt("", "\x00pump")


class Delta(NamedTuple):
    """One step of a streamed completion, number `seq` (from 0) of `attempt` (from 1).

    `submission` names one time that one process sends the prompt, with all attempts. The name has
    the digest of the request, and sorts after those of earlier submissions of the prompt: see
    `ritellm.chunks.submission`. A text is never joined from two submissions.

    `chunk` is the whole `chat.completion.chunk` as JSON, `text` what it adds to the first choice.
    The last delta of a whole attempt is `final`: it adds nothing, and has `outcome`, the JSON of
    what is known only at the end (timing, attempts), and `input`.
    """

    id: str
    attempt: int
    seq: int
    text: str
    finish_reason: Optional[str]
    chunk: str
    final: bool = False
    outcome: Optional[str] = None
    input: Optional[str] = None
    submission: str = ""


class Record(NamedTuple):
    """One part of a JSON answer that has closed: number `index` (from 0) of `attempt` (from 1).

    `submission` and `attempt` are those of its deltas: records of two of them never belong
    together. `path` is where the record is, such as "$.items[3]", and `value` its JSON. A record
    that does not fit the schema is not `valid`, and `message` says why. `tool_call` is the number
    of the tool call whose arguments it is in, None in text.

    The last record of a whole answer is `final`: it has no value, its `index` is the number of
    records before it, and it has `outcome` and `input` of the final delta.
    """

    id: str
    submission: str
    attempt: int
    index: int  # type: ignore[assignment]  # hides the method of tuples
    path: str
    value: Optional[str]
    valid: bool
    message: Optional[str] = None
    tool_call: Optional[int] = None
    final: bool = False
    outcome: Optional[str] = None
    input: Optional[str] = None


class Completion(NamedTuple):
    """One whole completion. `completion` is the `chat.completion` as JSON; times are in seconds.

    Token counts are the provider's, None if it did not count. `ended_at` is seconds since 1970.
    `replayed` means that it came from the journal: an earlier run paid for it. `shared` means that
    it is the completion of an equal request of another row, which paid for it. `cost_usd` is the
    cost of this row by list prices; None if the price or the tokens are not known. `submission` is
    that of its deltas, None if no deltas were made.

    `wasted_tokens` and `wasted_cost_usd` are not part of that: they count attempts that were billed
    and discarded (interrupted, or too late), partly estimated if `waste_estimated`.
    """

    id: str
    text: str
    finish_reason: Optional[str]
    model: Optional[str]
    prompt_tokens: Optional[int]
    completion_tokens: Optional[int]
    total_tokens: Optional[int]
    cached_tokens: Optional[int]
    reasoning_tokens: Optional[int]
    ttft: Optional[float]
    inter_chunk_p50: Optional[float]
    inter_chunk_p95: Optional[float]
    seconds: Optional[float]
    ended_at: Optional[float]
    attempts: int
    completion: str
    input: Optional[str] = None
    replayed: bool = False
    shared: bool = False
    cost_usd: Optional[float] = None
    place: Optional[str] = None
    wasted_tokens: int = 0
    wasted_cost_usd: Optional[float] = 0.0
    waste_estimated: bool = False
    submission: Optional[str] = None

    @property
    def answer(self) -> Any:
        """The valid answer of a job with `answer=Answer(...)`, a dict; None in other jobs.

        It is kept in `completion`, beside how it was asked for (`answer.mode`), how often the model
        was asked again (`reasks`), and whether text around it was removed (`stripped`).
        """
        facts = answer_facts(self.completion)
        return None if facts is None else exact_json.loads(facts["text"])


def answer_facts(completion: str) -> Optional[dict[str, Any]]:
    """Return what the JSON of a completion says of its answer; None without a checked answer."""
    if not completion.startswith('{"answer":'):  # it is the first field
        return None
    facts = orjson.loads(completion)["answer"]
    return facts if isinstance(facts, dict) and "text" in facts else None


class DeadLetter(NamedTuple):
    """One prompt without a completion, with all that is needed to send it again.

    `error_type` is the class of the error (ritellm's names), `partial_text` the received text,
    `retryable` whether another attempt can help. `usage` is the JSON of the provider's counts for
    the last attempt. `seconds` is the time from the first attempt to `ended_at`, which is seconds
    since 1970. `wasted_tokens` and the two fields after it are those of `Completion`; they do not
    include `usage`.
    """

    id: str
    request: str
    error_type: str
    message: str
    status_code: Optional[int]
    retryable: bool
    attempts: int
    partial_text: str
    input: Optional[str] = None
    usage: Optional[str] = None
    cost_usd: Optional[float] = None
    seconds: Optional[float] = None
    ended_at: Optional[float] = None
    place: Optional[str] = None
    wasted_tokens: int = 0
    wasted_cost_usd: Optional[float] = 0.0
    waste_estimated: bool = False


class Assembled(NamedTuple):
    """What the deltas of a prompt have become between two steps of a job: one of these."""

    completion: Optional[Completion] = None
    incomplete: Optional[DeadLetter] = None


# The outcomes of a prompt. The type decides the output of the transform.
Outcome = Delta | Record | Completion | DeadLetter


for _element in (Prompt, Delta, Record, Completion, DeadLetter, Assembled):
    register(_element)
