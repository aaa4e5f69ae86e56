"""The flag `--param NAME=JSON`: a parameter of `ritellm.completion` for all rows of the job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import orjson

from pipelines.errors import UsageError
from ritellm.calls.params import CALLER_ONLY, CHAT_PARAMS, COMMON_PARAMS
from ritellm.suggest import did_you_mean

_ALLOWED = CHAT_PARAMS | COMMON_PARAMS | {"drop_params", "extra_body", "num_retries"}
# Parameters that have a flag of their own.
_FLAGS = {
    "api_base": "--base_url",
    "api_key": "--api_key_env, --api_key_file or --api_key_secret",
    "base_url": "--base_url",
    "on_interrupt": "--on_interrupt",
    "on_length": "--on_length",
    "request_timeout": "--timeout",
    "timeout": "--timeout",
}


def add_param_option(parser: Any) -> None:
    """Add the flag to a parser, or to a group of one."""
    parser.add_argument(
        "--param",
        action="append",
        type=_checked,
        metavar="NAME=JSON",
        help="a parameter of each request, for example top_p=0.9, stop='[\"END\"]' or"
        " reasoning_effort='\"low\"'; repeat the flag for more. A row's own value takes precedence",
    )


def _checked(text: str) -> str:
    _parsed(text)
    return text


def _parsed(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise argparse.ArgumentTypeError("must be NAME=JSON, for example temperature=0.2")
    if name not in _ALLOWED:
        raise argparse.ArgumentTypeError(_refusal(name))
    try:
        return name, orjson.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"the value of {name} must be JSON ({error}); a text needs quotes, as in"
            f" --param '{name}=\"low\"'"
        ) from None


def _refusal(name: str) -> str:
    # The value is not repeated: it may be a key.
    if name in _FLAGS:
        return f"{name} cannot be set here; use {_FLAGS[name]}"
    if name in CALLER_ONLY:
        return f"{name} cannot be set here: it decides where requests go, or how they are sent"
    return f"{name!r} is not a parameter of a request{did_you_mean(name, _ALLOWED)}"


def params_of(texts: Sequence[str] | None, others: Sequence[str]) -> dict[str, Any]:
    """Return the parameters by name; raises UsageError for one that is given twice.

    `others` are the parameters that flags of their own have set.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        name, value = _parsed(text)
        if name in found:
            raise UsageError(f"--param {name} must be given once")
        if name in others:
            raise UsageError(f"--param {name} and --{name} are the same; give one of them")
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}
