"""Which keywords of JSON Schema each dialect accepts. Data only, each row with its source.

A keyword that is not in a row is not sent: some servers answer 400, others ignore it. The whole
schema is checked when the answer is here (`ritellm.answers`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ritellm.wire.answer_modes import JSON_OBJECT, PROMPT, TOOL

_TYPES = "type enum properties required items anyOf description title"
_LENGTHS = "minLength maxLength"
_RANGES = "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
_ITEMS = "minItems maxItems"
_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())


@dataclass(frozen=True, slots=True)
class Keywords:
    """The keywords of one dialect.

    `formats` are its values of `format`, None for any. With `closed`, each object must say
    `"additionalProperties": false`. Without `references`, the parts that `$ref` names take its
    place. `most_min_items` is the largest `minItems`. With `anchored`, a pattern must begin with
    `^` and end with `$`. With `all_required`, the strict mode of OpenAI is asked for if the schema
    allows it: each object is closed, and all of its properties are required. A schema that the
    dialect cannot express is asked for by the mode `otherwise`.
    """

    accepted: frozenset[str]
    formats: frozenset[str] | None = None
    closed: bool = False
    references: bool = False
    most_min_items: int | None = None
    anchored: bool = False
    all_required: bool = False
    otherwise: str = PROMPT


def _words(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas: no allOf, not,
# if/then/else and dependent...; `pattern` and `format` of strings, ranges of numbers, lengths of
# arrays. Servers that follow OpenAI know this part.
_OPENAI = Keywords(
    _words(_TYPES, _RANGES, _ITEMS, "additionalProperties const pattern format"),
    _FORMATS,
    references=True,
    all_required=True,
)
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations:
# no ranges, no lengths, `minItems` of 0 or 1, additionalProperties false only; recursive schemas
# and references to elsewhere are refused, and of patterns only simple ones pass. Each part has a
# type: https://github.com/anthropics/anthropic-sdk-python, `transform_schema`. The parameters of a
# tool that is not strict may have any schema.
_ANTHROPIC = Keywords(
    _words(_TYPES, "additionalProperties format minItems"),
    _FORMATS | {"uri"},
    closed=True,
    most_min_items=1,
    otherwise=TOOL,
)
# https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support: other keywords are
# ignored.
_GEMINI = Keywords(
    _words(_TYPES, _ITEMS, "minimum maximum additionalProperties prefixItems format"),
    frozenset({"date-time", "date", "time"}),
    otherwise=JSON_OBJECT,
)
# https://docs.cohere.com/docs/parameter-types-in-json: no ranges, no lengths, no allOf, oneOf, not.
_COHERE = Keywords(
    _words(_TYPES, "additionalProperties const pattern format"),
    frozenset({"date-time", "uuid", "date", "time"}),
    otherwise=JSON_OBJECT,
)
# https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md#json-schemas--gbnf; Ollama
# has the same converter: https://docs.ollama.com/capabilities/structured-outputs.
_LLAMACPP = Keywords(
    _words(
        _TYPES,
        _LENGTHS,
        _ITEMS,
        "minimum maximum exclusiveMinimum exclusiveMaximum const pattern",
        "additionalProperties format prefixItems",
    ),
    frozenset({"date-time", "date", "time", "uuid"}),
    references=True,
    anchored=True,
)

_BY_DIALECT = {
    "anthropic": _ANTHROPIC,
    "vertex_anthropic": _ANTHROPIC,
    # https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html: as Anthropic's.
    "bedrock": _ANTHROPIC,
    "gemini": _GEMINI,
    "vertex_gemini": _GEMINI,
    "cohere": _COHERE,
    "ollama": _LLAMACPP,
}
_BY_PROVIDER = {"local": _LLAMACPP, "llamacpp": _LLAMACPP, "lm_studio": _LLAMACPP}


def keywords_of(provider: str, dialect: str) -> Keywords:
    """Return the keywords that `provider` accepts in `dialect`."""
    return _BY_PROVIDER.get(provider) or _BY_DIALECT.get(dialect) or _OPENAI
