"""Classifies the columns of a row: a parameter of the request, the user's own, or a likely typo.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from ritellm.calls.params import CALLER_ONLY, CHAT_PARAMS, COMMON_PARAMS
from ritellm.suggest import nearest
from ritellm.token_estimate import plain

# The parameters that a row may set for its request, besides `prompt` or `messages`.
PARAMETERS = CHAT_PARAMS | COMMON_PARAMS | {"additional_params", "drop_params", "extra_body"}
# Columns that may hold an object or a list.
STRUCTURED = PARAMETERS - {"additional_params", "prompt_cache_key", "safety_identifier", "user"}

# Columns that hold no text, but maybe the JSON of their value: CSV has only texts.
_NO_TEXT = (PARAMETERS | {"body"}) - frozenset(
    "additional_params function_call prompt_cache_key reasoning_effort safety_identifier"
    " service_tier stop tool_choice user verbosity".split()
)

# Columns for the id and the prompt, and those of OpenAI's batch files around `body`.
_FRAME = frozenset("body custom_id id messages method prompt url".split())

# Names in the APIs of the dialects, and the column to use instead. "" marks a parameter of a single
# dialect, which belongs into `extra_body`.
_DIALECT_NAMES: Mapping[str, str] = {
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
    plain(name): meant for name, meant in _DIALECT_NAMES.items()
}
_NEAR = 0.8  # "topic" is 0.6 of "top_p", "max_token" 0.95 of "max_tokens"


class UnusedColumn(NamedTuple):
    """A column that is not sent, and the remedy for what it was likely meant to be."""

    name: str
    remedy: str


def parameters(row: Mapping[str, Any], names: Collection[str] = PARAMETERS) -> dict[str, Any]:
    """Return the parameters among `names` that `row` sets for its request."""
    return {
        name: structured(row[name], name)
        for name in row
        if name in names and row[name] is not None and not (row[name] == "" and name in _NO_TEXT)
    }


def structured(value: Any, name: str = "body") -> Any:
    """Return the value of a column that is no text: the formats without types have its JSON."""
    if not isinstance(value, str) or name not in _NO_TEXT:
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


def refused(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of `row` that only the job may set, sorted."""
    return sorted(name for name in row if name in CALLER_ONLY and row[name] is not None)


def unused(row: Mapping[str, Any], used: Collection[str] | None = None) -> Iterator[UnusedColumn]:
    """Yield the columns of `row` that are not sent, but look like parameters.

    With a template only the columns `used` are: it, or a flag, names them.
    """
    if used is not None:
        for name in row.keys() & PARAMETERS:
            if name not in used and row[name] is not None:
                yield UnusedColumn(name, "name it in --param_columns to send it")
        return
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
    """Return the remedy for a column that looks like a parameter; "" for any other column."""
    if name == "model":
        return "the job chooses the model (--model)"
    meant = _MEANT.get(plain(name))
    if meant is None and len(name) > 3:
        meant = nearest(name, PARAMETERS, _NEAR)
    if meant is None:
        return ""
    return f"did you mean {meant}?" if meant else "did you mean to put it into extra_body?"


def warning(column: UnusedColumn) -> str:
    """Return the warning about a column that is not sent."""
    return (
        f"column {column.name!r} is not sent to the model and is copied to 'input': {column.remedy}"
    )


# Untrusted data may have new names in each row; the report lists at most this many.
_MOST_NAMES = 100


class NewColumns:
    """Filters out columns that were reported before."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def take(self, columns: Sequence[UnusedColumn]) -> list[UnusedColumn]:
        """Return the columns that were not reported before, and mark them as reported."""
        if not columns:
            return []
        new = [column for column in columns if column.name not in self._reported]
        new = new[: max(0, _MOST_NAMES - len(self._reported))]
        self._reported.update(column.name for column in new)
        return new
