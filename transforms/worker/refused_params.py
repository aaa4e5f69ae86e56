"""The parameters that a row may not set. Pure.

Rows are untrusted data. A row must not send the job's key to an address of its own, and must not
spend more than the budget reserves for it. The estimate of tokens reads the parameters that limit
or price a request under their names in `ritellm.completion`. So a row must use these names, and may
not set the same under a provider's name in `extra_body`, which is merged into the body unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ritellm.calls.params import CALLER_ONLY
from ritellm.errors import InvalidRequestError
from ritellm.token_estimate import COUNTS, LIMITS, plain

# The fields of a body that choose the model or provider, and gateways' lists of models and routes.
_WHO = "deployment fallbacks model modelid models preset provider route".split()
# The fields that `messages` and the client set.
_WHAT = "contents input messages prompt stream".split()
# The fields that raise the price of the same tokens.
_PRICE = "performanceconfig servicetier speed".split()

# The objects that hold a provider's limits: another value in their place would remove the limits.
_HOLDERS = frozenset({"generationConfig", "inferenceConfig", "options"})
_ANY_HOLDER = frozenset(plain(name) for name in _HOLDERS)

# A gateway may take an address or a key from any depth.
_ANYWHERE = COUNTS | LIMITS | {"apibase", "apikey", "baseurl", "model", "modelid", "models"}
_AT_THE_TOP = _ANYWHERE | {plain(name) for name in (*_WHO, *_WHAT, *_PRICE, *CALLER_ONLY)}


def refuse_what_only_the_job_decides(body: Mapping[str, Any]) -> None:
    """Raise InvalidRequestError if a row's `body` sets a parameter that a row may not set."""
    if refused := sorted(body.keys() & CALLER_ONLY):
        raise InvalidRequestError(f"a row may not set {', '.join(refused)}: only the job may")
    for argument in ("extra_body", "additional_params"):
        if refused := sorted(_hidden(_object(body.get(argument)))):
            raise InvalidRequestError(
                f"a row may not set {', '.join(refused)} in {argument}, which the budget does not"
                " read; set the row's own parameters, such as max_tokens, n or service_tier; the"
                " job chooses the model and the address"
            )


def _object(value: Any) -> Mapping[str, Any]:
    """Return the fields of an argument, an object or its JSON; `completion` refuses the rest."""
    try:
        fields = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, Mapping) else {}


def _hidden(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if plain(name) in _AT_THE_TOP or _removes_limits(name, value):
            yield name
        elif isinstance(value, Mapping):
            yield from _nested(value)


def _removes_limits(name: str, value: Any) -> bool:
    merged = name in _HOLDERS and isinstance(value, Mapping)
    return plain(name) in _ANY_HOLDER and not merged


def _nested(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield names within `generationConfig` and its like; a schema's property is an object."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _nested(value)
        elif plain(name) in _ANYWHERE:
            yield name
