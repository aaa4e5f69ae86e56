"""Which keywords of JSON Schema each dialect accepts. Data only, each row with its source.

A keyword that is not in a row is not sent: some servers answer 400, others ignore it. The whole
schema is checked when the answer is here (`ritellm.answers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    `^` and end with `$`. With `plain_enums`, an enum has texts, numbers, booleans and null only. At
    most `most_optional` properties may be missing, and at most `most_unions` parts may have `anyOf`
    or several types. With `all_required`, the strict mode of OpenAI is asked for if the schema
    allows it: each object is closed, and all of its properties are required. A schema that the
    dialect cannot express is asked for by the mode `otherwise`.
    """

    accepted: frozenset[str]
    formats: frozenset[str] | None = None
    closed: bool = False
    references: bool = False
    most_min_items: int | None = None
    anchored: bool = False
    plain_enums: bool = False
    most_optional: int | None = None
    most_unions: int | None = None
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
# no ranges, no lengths, `minItems` of 0 or 1, additionalProperties false only; recursive schemas,
# references to elsewhere and enums of objects are refused, and of patterns only simple ones pass.
# Each part has a type, and these are the formats: `transform_schema` in
# https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/lib/_parse/_transform.py.
# "too many optional parameters ... (limit: 24)", https://github.com/elie222/inbox-zero/pull/2662;
# "too many parameters with union types ... (limit: 16)", https://github.com/vercel/ai/pull/17268.
# The parameters of a tool that is not strict may have any schema (the same pull request).
_ANTHROPIC = Keywords(
    _words(_TYPES, "additionalProperties format minItems"),
    _FORMATS | {"uri"},
    closed=True,
    most_min_items=1,
    plain_enums=True,
    most_optional=24,
    most_unions=16,
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
# has the same converter: https://docs.ollama.com/capabilities/structured-outputs. There prefixItems
# "is broken", formats lack uri and email, and ranges hold for integers only: the prompt has them.
_LLAMACPP = Keywords(
    _words(
        _TYPES,
        _LENGTHS,
        _ITEMS,
        "minimum maximum exclusiveMinimum exclusiveMaximum const pattern",
        "additionalProperties format",
    ),
    frozenset({"date-time", "date", "time", "uuid"}),
    references=True,
    anchored=True,
)

_BY_DIALECT = {
    "anthropic": _ANTHROPIC,
    "vertex_anthropic": _ANTHROPIC,
    # https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html: as Anthropic's,
    # with 400 for the rest, and enums of texts, numbers, booleans and null.
    "bedrock": _ANTHROPIC,
    "gemini": _GEMINI,
    "vertex_gemini": _GEMINI,
    "cohere": _COHERE,
    "ollama": _LLAMACPP,
}
_BY_PROVIDER = {"local": _LLAMACPP, "llamacpp": _LLAMACPP, "lm_studio": _LLAMACPP}


def of_tools(keywords: Keywords) -> Keywords:
    """Return the keywords for the parameters of a tool that is not strict: no limits hold."""
    return replace(
        keywords,
        closed=False,
        references=True,
        plain_enums=False,
        most_optional=None,
        most_unions=None,
    )


def keywords_of(provider: str, dialect: str) -> Keywords:
    """Return the keywords that `provider` accepts in `dialect`."""
    return _BY_PROVIDER.get(provider) or _BY_DIALECT.get(dialect) or _OPENAI
