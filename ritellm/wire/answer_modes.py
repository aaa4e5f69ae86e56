"""How each provider and model is asked for an answer with a schema: the best documented way.

Data only, each row with its source. The modes, from the best to the last:

- `json_schema`: the provider takes the schema and makes text that follows it;
- `tool`: the model must call one tool, whose arguments are the answer;
- `json_object`: the provider promises JSON, and the prompt has the schema;
- `prompt`: the prompt has the schema, and nothing is promised.

A model without a row has the first mode: servers and models that came after a table know it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

JSON_SCHEMA, TOOL, JSON_OBJECT, PROMPT = "json_schema", "tool", "json_object", "prompt"
MODES = (JSON_SCHEMA, TOOL, JSON_OBJECT, PROMPT)
# What comes back is JSON alone, if the provider keeps its promise.
NATIVE = frozenset({JSON_SCHEMA, TOOL})


class _Row(NamedTuple):
    """The mode of the models that match `models`, at one of `providers` ("" for any)."""

    providers: str
    models: str
    mode: str


# A name's beginning, also behind a maker, a region or a fine-tune.
_B = r"(?:^|[/:.])"
# Claude before 4.5: 2, 3, 4.0 and 4.1. Opus 4.1 was among the first models with the feature.
_OLD_CLAUDE = (
    r"claude-(instant|v?[23](?!\d)|(opus|sonnet|haiku)-4(-[0](?!\d)|-20|@20|$|[-:]v)"
    r"|4-(opus|sonnet)|opus-4-1|sonnet-4-1)"
)

# The first row that matches counts.
_ROWS = (
    # https://platform.openai.com/docs/guides/structured-outputs: json_schema since
    # gpt-4o-2024-08-06 and gpt-4o-mini; JSON mode since gpt-4-turbo and gpt-3.5-turbo-1106.
    _Row("openai azure", _B + r"gpt-?4o-2024-05-13", JSON_OBJECT),
    _Row("openai azure", _B + r"gpt-?4-(turbo|1106|0125)", JSON_OBJECT),
    _Row("openai azure", _B + r"gpt-?3\.?5-turbo(-1106|-0125|$)", JSON_OBJECT),
    _Row("openai azure", _B + r"gpt-?(4|3\.?5)(-(32k|0\d|turbo|vision)|$)", PROMPT),
    _Row("openai azure", _B + r"(o1-(mini|preview)|chatgpt-4o)", PROMPT),
    # https://platform.claude.com/docs/en/build-with-claude/structured-outputs (since 4.5, and Opus
    # 4.1); older models call a tool, https://platform.claude.com/docs/en/agents-and-tools/tool-use
    _Row("anthropic", r"claude-opus-4-1", JSON_SCHEMA),
    _Row("anthropic vertex_ai bedrock databricks snowflake", _OLD_CLAUDE, TOOL),
    # https://ai.google.dev/gemini-api/docs/structured-output: responseJsonSchema since 2.5.
    _Row("gemini vertex_ai", r"gemini-(1|2\.0)", JSON_OBJECT),
    _Row("gemini", r"gemma", PROMPT),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html lists the models;
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_SpecificToolChoice.html:
    # Nova and Claude can be made to call a tool.
    _Row("bedrock", r"amazon\.nova", TOOL),
    _Row("bedrock", r"anthropic|claude|qwen|deepseek\.v3|openai\.|gemma|nemotron", JSON_SCHEMA),
    _Row("bedrock", r"mistral\.(mini|magi|vox|mistral-large-3)|minimax|moonshot", JSON_SCHEMA),
    _Row("bedrock", r"application-inference-profile|provisioned-model", JSON_SCHEMA),
    _Row("bedrock", r"", PROMPT),
    # https://docs.cohere.com/docs/structured-outputs: Command R since 08-2024, and Command A.
    _Row("cohere", r"command(-light|-nightly|-xlarge)?$|command-r(-plus)?-0[34]-2024$", PROMPT),
    # https://console.groq.com/docs/structured-outputs lists the models; the others have JSON mode.
    _Row("groq", r"gpt-oss|kimi-k2|llama-4", JSON_SCHEMA),
    _Row("groq", r"", JSON_OBJECT),
    # https://api-docs.deepseek.com/guides/json_mode
    _Row("deepseek", r"", JSON_OBJECT),
    # https://platform.moonshot.ai/docs/api/chat#json-mode
    _Row("moonshot", r"", JSON_OBJECT),
    # https://docs.z.ai/guides/capabilities/struct-output
    _Row("zai", r"", JSON_OBJECT),
    # https://docs.x.ai/docs/guides/structured-outputs: all models later than grok-2-1212.
    _Row("xai", r"grok-(1|beta|vision-beta)", PROMPT),
)

# These constrain the text without showing the model the schema, so the prompt shows it too:
# https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md,
# https://docs.ollama.com/capabilities/structured-outputs,
# https://docs.vllm.ai/en/latest/features/structured_outputs.html.
_UNSEEN = frozenset("hosted_vllm llamacpp lm_studio local ollama".split())
# https://console.groq.com/docs/structured-outputs#supported-models: strict mode.
_STRICT = re.compile(r"gpt-oss")


@lru_cache(maxsize=256)
def mode_of(provider: str, model: str) -> str:
    """Return the best documented mode of `model` at `provider`."""
    name = model.lower()
    for row in _ROWS:
        if provider in row.providers.split() and re.search(row.models, name):
            return row.mode
    return JSON_SCHEMA


def shows_schema(provider: str) -> bool:
    """Return whether the model sees the schema that the request has."""
    return provider not in _UNSEEN


def may_be_strict(provider: str, model: str) -> bool:
    """Return whether `model` takes `strict` beside a schema."""
    return provider != "groq" or _STRICT.search(model.lower()) is not None
