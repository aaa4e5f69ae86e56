"""What a row may not set, and why. Pure.

Rows are foreign data. A row must not have our key sent to an address of its own, or spend more than
the budget reserves for it. So a row sets what limits or prices its request under the names of
`ritellm.completion`, where `estimate` sees it, and not once more under a provider's name in
`extra_body`, which is sent as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ritellm.calls.params import CALLER_ONLY
from ritellm.errors import InvalidRequestError
from transforms.budget.estimate import COUNTS, LIMITS, plain

# Who responds, in a body: also gateways' lists of models, routes and presets.
_WHO = "deployment fallbacks model modelid models preset provider route".split()
# What `messages` and the client decide.
_WHAT = "contents input messages prompt stream".split()
# What makes the same tokens dearer.
_PRICE = "performanceconfig servicetier speed".split()

# The objects that hold a provider's limits: anything else in their place would take these away.
_HOLDERS = frozenset({"generationConfig", "inferenceConfig", "options"})
_ANY_HOLDER = frozenset(plain(name) for name in _HOLDERS)

_ANYWHERE = COUNTS | LIMITS | {"model", "modelid", "models"}
_AT_THE_TOP = _ANYWHERE | {plain(name) for name in (*_WHO, *_WHAT, *_PRICE, *CALLER_ONLY)}


def refuse_what_only_the_job_decides(body: Mapping[str, Any]) -> None:
    """Raise InvalidRequestError for a row's `body` that sets what a row may not."""
    if refused := sorted(body.keys() & CALLER_ONLY):
        raise InvalidRequestError(f"a row may not set {', '.join(refused)}: only the job may")
    for argument in ("extra_body", "additional_params"):
        if refused := sorted(_hidden(_object(body.get(argument)))):
            raise InvalidRequestError(
                f"a row may not set {', '.join(refused)} in {argument}, where no budget sees it:"
                " set the row's own parameters, such as max_tokens, n or service_tier; the job"
                " chooses the model and the address"
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
        if plain(name) in _AT_THE_TOP or _takes_limits_away(name, value):
            yield name
        elif isinstance(value, Mapping):
            yield from _nested(value)


def _takes_limits_away(name: str, value: Any) -> bool:
    merged = name in _HOLDERS and isinstance(value, Mapping)
    return plain(name) in _ANY_HOLDER and not merged


def _nested(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield names within `generationConfig` and its like; a schema's property is an object."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _nested(value)
        elif plain(name) in _ANYWHERE:
            yield name
