"""The options that all programs share: whom to ask, how fast, with which key, kept where."""

from __future__ import annotations

import argparse
import re
from typing import Any

from pipelines.cli import checks as cli
from pipelines.cli import parser, timeout_flags
from pipelines.cli.parser import positive
from pipelines.runners.runner import check_listener
from transforms.metrics import NAMESPACE
from transforms.worker import hedging

DEFAULT_MODEL = "local/gemma-3-270m"

# The client's words for what the flag says.
_ON_INTERRUPT = {"restart": "restart", "continue": "continue", "fail": "raise"}


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


# On the command line a bare flag; a template's launcher writes --emit_deltas=true.
SWITCH: dict[str, Any] = {
    "nargs": "?",
    "type": _boolean,
    "const": True,
    "default": False,
    "metavar": "true|false",
}


def add_journal_options(made: parser.Parser) -> None:
    """Add where answers are kept."""
    made.add_argument(
        "--journal",
        default="auto",
        metavar="WHERE",
        help="keeps each answer as soon as it is whole, so that the same command goes on where it"
        " was stopped and pays nothing twice: auto (beside the output), none, sqlite:PATH,"
        " redis://HOST/DB, or a folder",
    )
    made.add_argument(
        "--journal_required",
        **SWITCH,
        help="stop when the journal cannot be written, rather than go on without it",
    )


def add_model_options(made: parser.Parser) -> None:
    """Add what says whom to ask, how fast and with which key."""
    model = made.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="PROVIDER/MODEL",
        help="who answers, for example openai/gpt-4o-mini (default: %(default)s, on this machine)",
    )
    model.add_argument(
        "--base_url", metavar="URL", help="the API's root, if not the provider's own"
    )
    key = model.add_mutually_exclusive_group()
    key.add_argument(
        "--api_key_env",
        metavar="NAME",
        help="the environment variable that holds the key (default: the provider's usual one)",
    )
    key.add_argument(
        "--api_key_secret",
        type=_secret_version,
        metavar="VERSION",
        help="the version in Google's Secret Manager that holds the key, as"
        " projects/P/secrets/S/versions/V; the workers read it",
    )
    key.add_argument(
        "--api_key_file",
        metavar="PATH",
        help="the file that holds the key and nothing else; the workers read it",
    )
    model.add_argument(
        "--max_in_flight",
        type=positive,
        metavar="N",
        help="prompts under way at once in each process (default: 64; the local model: 4)",
    )
    model.add_argument("--rpm", type=positive, metavar="N", help="requests a minute, each process")
    model.add_argument("--tpm", type=positive, metavar="N", help="tokens a minute, each process")
    model.add_argument(
        "--rate_limiter",
        type=_limiter,
        metavar="HOST:PORT/DOMAIN",
        help="a limit for all workers together: an Envoy rate limit service, which is asked before"
        " each request, in this domain and with the descriptor model=PROVIDER/MODEL",
    )
    model.add_argument(
        "--give_up_after",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="nothing but throttling for so long ends the waiting (default: %(default)s)",
    )
    model.add_argument(
        "--hedge_after",
        type=_hedge,
        metavar="SECONDS|PERCENTILE",
        help="ask a second time for an answer that is later than this, for example 20 or p95; the"
        " first to answer counts (5 %% extra requests at most)",
    )
    timeout_flags.add_timeout_option(model)
    model.add_argument(
        "--on_interrupt",
        choices=tuple(_ON_INTERRUPT),
        default="restart",
        help="an answer that breaks off in the middle is asked for again from the start, goes on"
        " where it broke off (where the provider documents a way), or is a failed row with its"
        " partial text (default: %(default)s)",
    )
    model.add_argument("--max_tokens", type=positive, metavar="N", help="the longest answer")
    model.add_argument("--temperature", type=float, metavar="T")


def _secret_version(text: str) -> str:
    if not re.fullmatch(r"projects/[^/\s]+/secrets/[\w-]+/versions/[\w-]+", text):
        form = "projects/P/secrets/S/versions/V"
        raise argparse.ArgumentTypeError(f"write {form}; a key itself is never an argument")
    return text


def _limiter(text: str) -> str:
    if not re.fullmatch(r"[^/\s]+:\d+/[^/\s]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT/DOMAIN")
    return text


def _hedge(text: str) -> str:
    try:
        hedging.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds nor like p95") from None
    return text


def model_params(ours: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `completion` that were given on the command line."""
    given = {"max_tokens": ours.max_tokens, "temperature": ours.temperature}
    chosen = {name: value for name, value in given.items() if value is not None}
    return {**chosen, "on_interrupt": _ON_INTERRUPT[ours.on_interrupt]}


def asking(ours: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `CompletePrompts` that were given on the command line."""
    names = (
        "max_in_flight rpm tpm give_up_after hedge_after base_url"
        " api_key_env api_key_secret api_key_file"
    )
    given = {name: getattr(ours, name) for name in names.split()} | model_params(ours)
    return given | {
        "timeout": timeout_flags.parse(ours.timeout),
        "rate_limiter": _rate_limiter(ours),
    }


def _rate_limiter(ours: argparse.Namespace) -> Any:
    if ours.rate_limiter is None:
        return None
    from apache_beam.io.components.rate_limiter import EnvoyRateLimiter

    address, _, domain = ours.rate_limiter.rpartition("/")
    return EnvoyRateLimiter(address, domain, [{"model": ours.model}], namespace=NAMESPACE)


def check_model(ours: argparse.Namespace, here: bool) -> None:
    """Raise UsageError if the model cannot be asked."""
    if here and ours.rate_limiter:
        address = ours.rate_limiter.rpartition("/")[0]
        check_listener("--rate_limiter", address, "start the rate limit service there")
    cli.check_model(
        ours.model,
        here=here,
        api_key_env=ours.api_key_env,
        api_key_secret=ours.api_key_secret,
        api_key_file=ours.api_key_file,
        base_url=ours.base_url,
        **model_params(ours),
    )


def settle_in_flight(ours: argparse.Namespace) -> bool:
    """Settle how much is in flight; return whether the model is served by this machine."""
    launched = cli.is_launched_here(ours.model)
    ours.max_in_flight = ours.max_in_flight or (4 if launched else 64)
    return launched
