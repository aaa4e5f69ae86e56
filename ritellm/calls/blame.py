"""Finds the parameter for which no request can be built. Pure; it runs only after a failure.

The dialects do not check the shape of each value beforehand. If one of them cannot be read, each
message and each parameter is tried alone, so that the error names the one at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import ABOUT_VALUES, InvalidRequestError, RitellmError
from ritellm.types import HttpRequest, Request

Build = Callable[[Request, Endpoint], HttpRequest]
MakeDraft = Callable[..., object]
_PLAIN = ({"role": "user", "content": "x"},)


def unbuildable(
    build: Build, request: Request, endpoint: Endpoint, error: Exception
) -> InvalidRequestError:
    """Return the error for a request that `build` cannot build, which raised `error`."""
    what = _at_fault(build, request, endpoint)
    return InvalidRequestError(
        f"{what} has a value of an unexpected type, or more than 250 levels of lists and objects:"
        f" the request cannot be written as JSON ({f'{error}':.200})",
        provider=endpoint.provider.name,
        model=request.model,
    )


def _at_fault(build: Build, request: Request, endpoint: Endpoint) -> str:
    bare = replace(request, messages=_PLAIN, params={}, extra_body={})
    tried: list[tuple[str, Mapping[str, Any]]] = [
        *((f"messages[{at}]", {"messages": [each]}) for at, each in enumerate(request.messages)),
        *((name, {"params": {name: value}}) for name, value in request.params.items()),
        ("extra_body", {"extra_body": request.extra_body}),
    ]
    for name, alone in tried:
        try:
            build(replace(bare, **alone), endpoint)
        except RitellmError:
            continue  # a rule that only holds alone
        except ABOUT_VALUES:
            return name
    return "the request"


def undraftable(
    make: MakeDraft, model: Any, given: Mapping[str, Any], error: Exception
) -> InvalidRequestError:
    """Return the error for parameters that `make(model, given=...)` cannot read.

    It raised `error`.
    """
    suspects: list[str] = []
    for name in given:
        rest = {other: each for other, each in given.items() if other != name}
        try:
            make(model, given=rest)
        except RitellmError:
            suspects.append(name)  # or the parameter is needed for the others to be read
        except Exception:
            continue
        else:
            return unreadable(name, given[name], error)
    if len(suspects) == 1:
        return unreadable(suspects[0], given[suspects[0]], error)
    return unreadable("a parameter", None, error)


def unreadable(name: str, value: Any, error: Exception) -> InvalidRequestError:
    """Return the error for the value of a parameter that raised `error` when it was read."""
    got = "" if value is None else f", got {type(value).__name__}"
    return InvalidRequestError(
        f"{name} has a value of an unexpected type{got} ({type(error).__name__})"
    )
