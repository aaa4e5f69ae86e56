"""What flows through the pipelines: typed rows that SQL, YAML and other languages can read.

Registered with Beam's RowCoder: smaller and faster than pickle, and open to
cross-language transforms. Anything nested travels as JSON text.
"""

# No `from __future__ import annotations`: Beam reads these annotations as types. `str | None` is
# none of those it knows: it would be a pickled column, which no other language can read.
# ruff: noqa: UP045
from typing import NamedTuple, Optional
from uuid import NAMESPACE_URL, uuid5

import apache_beam as beam
from apache_beam.typehints.row_type import _BEAM_SCHEMA_ID


class Prompt(NamedTuple):
    """One question. `request` is the JSON of an OpenAI chat body (`messages` and parameters).

    A `model` in the body overrides the transform's, within the same provider. What decides where
    a request goes and with which key (`base_url`, `api_key`, ...) is refused there. `input` is
    handed through to the outcome: the JSON of the row that the prompt came from; so is `place`,
    where that row stands ("FILE:LINE"). `key` is what the journal knows the row by in place of
    `id`, for rows whose id is only their place: no two prompts of a job have the same.
    """

    id: str
    request: str
    input: Optional[str] = None
    place: Optional[str] = None
    key: Optional[str] = None


# Asks nothing: has the core hand on, for a moment, what comes of the prompts before it. A source
# that waits for its next prompt sends it, so that answers flow meanwhile.
PUMP = Prompt("", "\x00pump")


class Delta(NamedTuple):
    """One step of a streamed completion, number `seq` (from 0) of `attempt` (from 1).

    `chunk` is the whole `chat.completion.chunk` as JSON, `text` what it adds to the first choice.
    The last delta of a whole attempt is `final`: it adds nothing, and brings `outcome`, the JSON of
    what only the end knows (timing, attempts), and `input`.
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


class Completion(NamedTuple):
    """One whole answer. `completion` is the `chat.completion` as JSON; times are in seconds.

    Token counts are the provider's, None where it did not count. `ended_at` is seconds since 1970.
    `replayed` says that it came from the journal: it was paid for before. `shared` says that an
    equal request of another row was paid for, and this is its answer. `cost_usd` is what this row
    was billed by list prices; None where the price or the tokens are not known.

    `wasted_tokens` and `wasted_cost_usd` are beside that: attempts that were billed and thrown away
    (broken off, or too late), estimated in part if `waste_estimated`.
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


class DeadLetter(NamedTuple):
    """One prompt that has no answer, and all that is needed to ask again.

    `error_type` is the class of the error (ritellm's names), `partial_text` what had come of the
    answer, `retryable` whether asking again can help. `usage` is the JSON of what the provider had
    counted of the last attempt, `seconds` how long it was tried until `ended_at` (seconds since
    1970). `wasted_tokens` and the two behind it are a completion's: what `usage` does not tell.
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


# What comes of a prompt. `type(outcome)` decides the output that it leaves a transform by.
Outcome = Delta | Completion | DeadLetter


for _element in (Prompt, Delta, Completion, DeadLetter):
    # The same columns are the same schema in every process. Beam would draw an id, and an updated
    # job would have another coder.
    _name = f"{_element.__module__}.{_element.__name__} {_element.__annotations__}"
    setattr(_element, _BEAM_SCHEMA_ID, str(uuid5(NAMESPACE_URL, _name)))
    beam.coders.registry.register_coder(_element, beam.coders.RowCoder)
