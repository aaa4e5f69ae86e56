"""Checks the model and the key that the flags name, before the first request; needs no Beam."""

from __future__ import annotations

import os
import sys
from typing import Any

from pipelines.errors import UsageError
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.providers import locate, split_model
from transforms.graph.refused_secrets import refuse_secrets
from transforms.worker.client.credentials import check_secret, key_in_file, key_in_secret


def check_model(
    model: str,
    *,
    here: bool,
    api_key_env: str | None,
    api_key_secret: str | None = None,
    api_key_file: str | None = None,
    **arguments: Any,
) -> None:
    """Raise UsageError for an unknown model, a missing key, or a wrong address or parameter.

    `here` means that this process sends the requests. Workers elsewhere have their own keys.
    """
    try:
        refuse_secrets(model, arguments)
    except TypeError as error:
        raise UsageError(str(error)) from None
    key = os.environ.get(api_key_env) if api_key_env else None
    if here and api_key_env and not key:
        raise UsageError(f"--api_key_env {api_key_env}: the variable is not set; export it")
    if not here or api_key_secret or api_key_file:
        key = key or "the worker's"
    messages = [{"role": "user", "content": "?"}]
    from ritellm.calls.prepare import plan  # the help and most errors do not need it

    try:
        if here and api_key_file:
            key = key_in_file(api_key_file)
        planned = plan(model, messages, os.environ, stream=True, api_key=key, **arguments)
        if here:
            from ritellm.transports.settings import check_settings

            check_settings(planned.endpoint.base_url)
        if api_key_secret:
            check = key_in_secret if here else check_secret
            check(api_key_secret)
    except RitellmError as error:
        raise UsageError(_in_flags(error.message)) from None


def _in_flags(message: str) -> str:
    """Return an error of `completion` with the names of flags instead of parameters."""
    message = message.replace("or pass api_key", "or name another one with --api_key_env")
    named = message.replace("on_interrupt='restart' or 'raise'", "--on_interrupt restart or fail")
    return named.replace("leave out on_length='continue'", "leave out --on_length continue")


def is_launched_here(model: str) -> bool:
    """Return whether `model` runs on the machine of the worker."""
    return split_model(model)[0].launcher is not None


def start_model(model: str) -> None:
    """Start the model server of this machine, or find a running one, until this process ends."""
    provider, name = split_model(model)
    print(f"Starting {model} on this machine ...", file=sys.stderr, flush=True)
    try:
        locate(Endpoint(provider, ""), name)
    except RitellmError as error:
        raise UsageError(error.message) from None
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(str(error)) from None
