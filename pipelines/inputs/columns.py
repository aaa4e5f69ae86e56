"""What a column of a row is: a parameter of its request, the user's own, or meant as a parameter.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ritellm.calls.params import CALLER_ONLY, CHAT_PARAMS, COMMON_PARAMS
from ritellm.suggest import nearest
from ritellm.token_estimate import plain

# What a row may bring for its own request, besides `prompt` or `messages`.
PARAMETERS = CHAT_PARAMS | COMMON_PARAMS | {"additional_params", "drop_params", "extra_body"}
# Columns that may hold an object or a list.
STRUCTURED = PARAMETERS - {"additional_params", "prompt_cache_key", "safety_identifier", "user"}

# What says which row it is and what it asks, and OpenAI's envelope around `body`.
_FRAME = frozenset("body custom_id id messages method prompt url".split())

# What the dialects' own APIs call it, and what to write in a row; "" is for what only one of them
# has: it goes into `extra_body`.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(
        "maxGenTokens maxNewTokens maxOutputTokens maxTokensToSample nPredict numPredict".split(),
        "max_tokens",
    ),
    **dict.fromkeys("bestOf candidateCount numGenerations numReturnSequences".split(), "n"),
    **dict.fromkeys(
        "format guidedJson jsonSchema outputConfig outputFormat responseMimeType responseSchema"
        " responseJsonSchema structuredOutputs".split(),
        "response_format",
    ),
    **dict.fromkeys("instructions system systemInstruction systemPrompt".split(), "messages"),
    **dict.fromkeys("think thinkingBudget thinkingConfig".split(), "thinking"),
    "reasoning": "reasoning_effort",
    "effort": "reasoning_effort",
    "stopSequences": "stop",
    "toolConfig": "tool_choice",
    "functionCalling": "tool_choice",
    "randomSeed": "seed",
    "repeatPenalty": "repetition_penalty",
    "responseModalities": "modalities",
    **dict.fromkeys(
        "additionalModelRequestFields cacheControl cachedContent citationOptions documents"
        " generationConfig guardrailConfig inferenceConfig keepAlive mcpServers minTokensToSample"
        " numCtx options performanceConfig previousResponseId promptMode safePrompt"
        " safetySettings searchParameters".split(),
        "",
    ),
}
_MEANT = {plain(name): name for name in PARAMETERS} | {
    plain(name): meant for name, meant in _ELSEWHERE.items()
}
_NEAR = 0.8  # "topic" is 0.6 of "top_p", "max_token" 0.95 of "max_tokens"


class UnusedColumn(NamedTuple):
    """A column that is sent to nobody, and what it may have been meant for; "" if unknown."""

    name: str
    remedy: str


def parameters(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `row` brings for its own request."""
    return {name: row[name] for name in row if name in PARAMETERS and row[name] is not None}


def refused(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of `row` that only the job may set."""
    return sorted(name for name in row if name in CALLER_ONLY and row[name] is not None)


def unused(row: Mapping[str, Any]) -> Iterator[UnusedColumn]:
    """Yield the columns of `row` that are not sent, but look like parameters."""
    in_body = isinstance(row.get("body"), Mapping)
    for name in row:
        if name in _FRAME or row[name] is None:
            continue
        if in_body and name in PARAMETERS:
            yield UnusedColumn(name, "put it into 'body'")
        elif name not in PARAMETERS and (remedy := _remedy(name)):
            yield UnusedColumn(name, remedy)


@lru_cache(maxsize=4096)
def _remedy(name: str) -> str:
    """Return what to do about a column that may be meant as a parameter; "" if it is not."""
    if name == "model":
        return "the job chooses the model (--model)"
    meant = _MEANT.get(plain(name))
    if meant is None and len(name) > 3:
        meant = nearest(name, PARAMETERS, _NEAR)
    if meant is None:
        return ""
    return f"did you mean {meant}?" if meant else "did you mean to put it into extra_body?"


def warning(column: UnusedColumn) -> str:
    """Return what is said of a column that is not sent."""
    return (
        f"column {column.name!r} is not sent to the model and comes out under 'input':"
        f" {column.remedy}"
    )


# Foreign data may have a new name in each row; a report names this many.
_MOST_NAMES = 100


class Unsaid:
    """The columns that were not spoken of yet, one warning for each name."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def take(self, columns: Sequence[UnusedColumn]) -> list[UnusedColumn]:
        """Return those of `columns` that are new."""
        if not columns:
            return []
        new = [column for column in columns if column.name not in self._said]
        new = new[: max(0, _MOST_NAMES - len(self._said))]
        self._said.update(column.name for column in new)
        return new
