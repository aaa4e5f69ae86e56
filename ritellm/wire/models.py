"""What single families of models accept, where the model decides and not the dialect.

Data only, each row with its source. A family is searched for inside a model's name, since the name
has many beginnings: `ft:o4-mini:org`, `openai/o3`, `us.anthropic.claude-haiku-4-5`,
`databricks-claude-opus-4-1`. A model without a row is sent everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# The words of OpenAI's `reasoning_effort`, from least to most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Family:
    """What a family accepts.

    `names` is a pattern of its names. It `refuses` these parameters unless they have their default;
    with `if_thinking`, only in a request that sets `reasoning_effort`. `efforts` are the levels
    that it has; without any, each level passes. `max_output` is the largest `max_tokens`.
    """

    names: str
    refuses: frozenset[str] = frozenset()
    if_thinking: bool = False
    efforts: tuple[str, ...] = ()
    max_output: int | None = None


_SAMPLING = frozenset(
    "frequency_penalty logit_bias logprobs presence_penalty temperature top_logprobs top_p".split()
)
_STOP = frozenset({"stop"})
_XAI = frozenset({"frequency_penalty", "presence_penalty", "stop"})
_THREE = ("low", "medium", "high")
# A name's beginning: `o3` is a model of OpenAI, but not in `marco-o1`.
_BEGIN = r"(?:^|[/:.])"

# The first row that matches counts.
_FAMILIES = (
    # https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning and
    # https://platform.openai.com/docs/api-reference/chat/create (stop: not with o3 and o4-mini).
    Family(_BEGIN + r"o[34](?![a-z0-9])", _SAMPLING | _STOP, efforts=_THREE),
    Family(_BEGIN + r"o[1-9](?![a-z0-9])", _SAMPLING, efforts=_THREE),
    # https://platform.openai.com/docs/guides/latest-model: since GPT-5.1 sampling can be set
    # without reasoning, which is the default. The chat models do not reason. The levels are those
    # of https://platform.openai.com/docs/api-reference/chat/create#reasoning_effort.
    Family(r"gpt-?5(\.\d+)?-chat"),
    Family(r"gpt-?5-pro", _SAMPLING | _STOP, efforts=("high",)),
    Family(r"gpt-?5(\.\d+)?-(codex|pro)", _SAMPLING | _STOP),
    Family(r"gpt-?5(?![.\d])", _SAMPLING | _STOP, efforts=("minimal", *_THREE)),
    Family(r"gpt-?5\.1(?!\d)", _SAMPLING, if_thinking=True, efforts=("none", *_THREE)),
    Family(r"gpt-?5\.\d", _SAMPLING, if_thinking=True, efforts=("none", *_THREE, "xhigh")),
    Family(_BEGIN + r"(chat)?gpt-?[34]", frozenset({"reasoning_effort"})),
    # https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
    Family(r"amazon\.nova", efforts=_THREE),
    # https://cookbook.openai.com/articles/openai-harmony
    Family(r"gpt-oss", efforts=_THREE),
    # https://docs.x.ai/docs/guides/reasoning: only some reasoning models have levels, and none of
    # them has penalties or stop sequences.
    Family(r"grok-3-mini", _XAI, efforts=("low", "high")),
    Family(r"grok-4[.-]3", _XAI, if_thinking=True, efforts=("none", *_THREE)),
    Family(r"grok-4[.-][5-9]", _XAI, efforts=_THREE),
    Family(r"grok-.*non-reasoning", frozenset({"reasoning_effort"})),
    Family(r"grok-(4(-latest|-0709)?$|.*reasoning|code)", _XAI | {"reasoning_effort"}),
    # https://api-docs.deepseek.com/guides/reasoning_model
    Family(r"deepseek-reasoner", frozenset({"logprobs", "top_logprobs"})),
    # https://docs.mistral.ai/inference/conversations/reasoning
    Family(r"mistral-(small|medium)", efforts=("none", "high")),
    # https://ai.google.dev/gemini-api/docs/openai#thinking; 3.7 Flash and later refuse minimal.
    Family(r"gemini-3(\.\d+)?-flash-lite|gemini-3(\.[1-6])?-flash", efforts=("minimal", *_THREE)),
    Family(r"gemini-3-pro", efforts=("low", "high")),
    Family(r"gemini-(?![12])", efforts=_THREE),
    # https://platform.claude.com/docs/en/about-claude/models/overview (the limits), and
    # https://platform.claude.com/docs/en/build-with-claude/effort.
    Family(r"claude-(instant|v?2|3-(opus|sonnet|haiku))", max_output=4_096),
    Family(r"claude-3[-.]5", max_output=8_192),
    Family(r"claude-(4-)?opus-4([-.][01](?!\d)|[-@]20|$|-v)", max_output=32_000),
    Family(r"claude-mythos-preview", efforts=(*_THREE, "max")),
    Family(r"claude-[a-z]+-4[-.]6", efforts=(*_THREE, "max"), max_output=64_000),
    Family(r"claude-([a-z]+-)?(3[-.]7|4)(?![-.]?[6-9](?!\d))", max_output=64_000),
    # https://platform.claude.com/docs/en/about-claude/models/migration-guide: since 4.7.
    Family(
        r"claude-([a-z]+-)?(4[-.][7-9]|[5-9])(?!\d)",
        frozenset({"temperature", "top_k", "top_p"}),
        efforts=(*_THREE, "xhigh", "max"),
    ),
)
# A parameter with its default is left out where the model refuses the parameter.
_DEFAULTS: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "presence_penalty": 0,
    "stop": [],
    "temperature": 1,
    "top_logprobs": 0,
    "top_p": 1,
}
# An open model that learned from another has that one's name too: Qwen3-8B-GPT-5-Codex-Distill.
_OPEN = re.compile(r"distill|gguf|-mlx|awq|gptq")
_MISTRAL = re.compile(
    r"(?:^|[/.:_-])(?:mistral|mixtral|ministral|codestral|magistral|devstral|pixtral|voxtral)"
)


@lru_cache(maxsize=256)
def family(model: str) -> Family:
    """Return the row of `model`, or one without any facts."""
    name = model.lower()
    if _OPEN.search(name):
        return Family("")
    return next((row for row in _FAMILIES if re.search(row.names, name)), Family(""))


def refused(model: str, params: Mapping[str, Any]) -> dict[str, bool]:
    """Return the parameters that `model` refuses, and whether each has another than its default."""
    row = family(model)
    if row.if_thinking and params.get("reasoning_effort") in (None, "none"):
        return {}
    return {
        name: _DEFAULTS.get(name, ...) != params[name]
        for name in sorted(row.refuses & params.keys())
    }


def effort(model: str, wanted: Any) -> Any:
    """Return the level of effort for `wanted`: the next one up that `model` has, or its highest.

    Another word than OpenAI's passes unchanged, and so does "none", which means no thinking.
    """
    known = family(model).efforts
    if not known or wanted in known or wanted not in EFFORTS[1:]:
        return wanted
    above = (level for level in EFFORTS[EFFORTS.index(wanted) :] if level in known)
    return next(above, known[-1])


def is_gemini(model: str) -> bool:
    """Return whether `model` is one of Google's, under any name."""
    return "gemini" in model.lower()


def is_mistral(model: str) -> bool:
    """Return whether `model` is one of Mistral's, under any name."""
    return _MISTRAL.search(model.lower()) is not None
