"""The flags that both programs share: the model, its limits and key, and the journal."""

from __future__ import annotations

import argparse
import re
from typing import Any

from pipelines.cli import model_checks, parser
from pipelines.cli.flags import params as param_flags
from pipelines.cli.flags import timeout as timeout_flags
from pipelines.cli.flags.answer import answer_of
from pipelines.cli.parser import positive
from pipelines.runners.checks import check_listener
from transforms.graph.refused_secrets import check_variable
from transforms.worker.capacity import hedging

DEFAULT_MODEL = "local/gemma-3-270m"

# The values of the flag, and those of the `on_interrupt` parameter of `completion`.
_ON_INTERRUPT = {"restart": "restart", "continue": "continue", "fail": "raise"}


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text!r}")
    return text.lower() == "true"


# A person writes the bare flag; the launcher of a template writes --emit_deltas=true.
SWITCH: dict[str, Any] = {
    "nargs": "?",
    "type": _boolean,
    "const": True,
    "default": False,
    "metavar": "true|false",
}


def add_journal_options(made: parser.Parser) -> None:
    """Add the flags of the journal."""
    journal = made.add_argument_group("journal")
    journal.add_argument(
        "--journal",
        default="auto",
        metavar="WHERE",
        help="where to record finished completions. The same command resumes from the journal and"
        " does not pay for a completion twice. One of: auto (beside the output), none, sqlite:PATH,"
        " redis://HOST/DB, or a folder (default: %(default)s)",
    )
    made.set_defaults(journal_alone=False)  # the programs know where their workers run
    journal.add_argument(
        "--journal_required",
        **SWITCH,
        help="fail the job if the journal cannot be written (default: continue without it)",
    )
    journal.add_argument(
        "--dedupe",
        **SWITCH,
        help="send equal requests once; rows with equal requests share the completion",
    )


def add_model_options(made: parser.Parser) -> None:
    """Add the flags of the model: its name, its key and its limits."""
    model = made.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="PROVIDER/MODEL",
        help="the model, for example openai/gpt-4o-mini (default: %(default)s, which runs on this"
        " machine)",
    )
    model.add_argument(
        "--base_url", metavar="URL", help="the root URL of the API (default: the provider's own)"
    )
    key = model.add_mutually_exclusive_group()
    key.add_argument(
        "--api_key_env",
        type=_variable,
        metavar="NAME",
        help="the environment variable that contains the API key (default: the provider's usual"
        " variable)",
    )
    key.add_argument(
        "--api_key_secret",
        type=_secret_version,
        metavar="VERSION",
        help="the secret version in Google's Secret Manager that contains the API key, as"
        " projects/P/secrets/S/versions/V; the workers read it",
    )
    key.add_argument(
        "--api_key_file",
        metavar="PATH",
        help="a file that contains only the API key; the workers read it",
    )
    model.add_argument(
        "--max_in_flight",
        type=positive,
        metavar="N",
        help="the most requests in flight in each process (default: 64; for the local model: 4)",
    )
    model.add_argument(
        "--rpm", type=positive, metavar="N", help="requests per minute in each process"
    )
    model.add_argument(
        "--tpm", type=positive, metavar="N", help="tokens per minute in each process"
    )
    model.add_argument(
        "--rate_limiter",
        type=_limiter,
        metavar="HOST:PORT/DOMAIN",
        help="an Envoy rate limit service that limits all workers together. Workers query it before"
        " each request, with this domain and the descriptor model=PROVIDER/MODEL",
    )
    model.add_argument(
        "--give_up_after",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="fail a prompt after this many seconds of uninterrupted throttling, or of an outage of"
        " the server (default: %(default)s)",
    )
    model.add_argument(
        "--hedge_after",
        type=_hedge,
        metavar="SECONDS|PERCENTILE",
        help="send a second request if the first chunk takes longer than this, for example 20 or"
        " p95, and use the faster response (adds at most 5 %% of requests)",
    )
    timeout_flags.add_timeout_option(model)
    model.add_argument(
        "--on_interrupt",
        choices=tuple(_ON_INTERRUPT),
        default="restart",
        help="what to do when a response breaks off: restart sends the request again, continue"
        " resumes from the partial text where the provider documents a way, fail writes a failed"
        " row with the partial text (default: %(default)s)",
    )
    model.add_argument(
        "--on_length",
        choices=("stop", "continue"),
        default="stop",
        help="what to do when max_tokens cuts a completion off: stop leaves it as it is, continue"
        " requests the rest, up to 8 times, where the provider documents a way (default:"
        " %(default)s)",
    )
    model.add_argument(
        "--max_tokens", type=positive, metavar="N", help="the most tokens per completion"
    )
    model.add_argument("--temperature", type=float, metavar="T", help="the sampling temperature")
    model.add_argument(
        "--top_p",
        type=float,
        metavar="P",
        help="sample only the likeliest tokens, whose probabilities add up to P",
    )
    param_flags.add_param_option(model)


def _variable(text: str) -> str:
    try:
        check_variable(text)
    except TypeError:
        # The text is not repeated: it may be the key itself.
        form = "the name of a variable"
        raise argparse.ArgumentTypeError(f"must be {form}; do not pass the key itself") from None
    return text


def _secret_version(text: str) -> str:
    if not re.fullmatch(r"projects/[^/\s]+/secrets/[\w-]+/versions/[\w-]+", text):
        form = "projects/P/secrets/S/versions/V"
        # The text is not repeated: it may be the key itself.
        raise argparse.ArgumentTypeError(f"must be {form}; do not pass the key itself")
    return text


def _limiter(text: str) -> str:
    if not re.fullmatch(r"[^/\s]+:\d+/[^/\s]+", text):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT/DOMAIN, got {text!r}")
    return text


def _hedge(text: str) -> str:
    try:
        hedging.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be seconds or like p95, got {text!r}") from None
    return text


def model_params(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `completion` that the command line sets."""
    given = {name: getattr(known_args, name) for name in ("max_tokens", "temperature", "top_p")}
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen |= param_flags.params_of(known_args.param, [*chosen])
    if known_args.on_length != "stop":  # as if not given: the journal's keys have it
        chosen["on_length"] = known_args.on_length
    return {**chosen, "on_interrupt": _ON_INTERRUPT[known_args.on_interrupt]}


def completion_options(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `CompletePrompts` that the command line sets."""
    names = (
        "max_in_flight rpm tpm give_up_after hedge_after base_url"
        " api_key_env api_key_secret api_key_file"
    )
    given = {name: getattr(known_args, name) for name in names.split()} | model_params(known_args)
    if (answer := answer_of(known_args)) is not None:
        given["answer"] = answer
    return given | {
        "timeout": timeout_flags.parse(known_args.timeout),
        "rate_limiter": _rate_limiter(known_args),
    }


def _rate_limiter(known_args: argparse.Namespace) -> Any:
    if known_args.rate_limiter is None:
        return None
    from apache_beam.io.components.rate_limiter import EnvoyRateLimiter

    from transforms.metrics import NAMESPACE

    address, _, domain = known_args.rate_limiter.rpartition("/")
    return EnvoyRateLimiter(address, domain, [{"model": known_args.model}], namespace=NAMESPACE)


def check_model(known_args: argparse.Namespace, here: bool) -> None:
    """Raise UsageError if requests to the model cannot succeed."""
    if here and known_args.rate_limiter:
        address = known_args.rate_limiter.rpartition("/")[0]
        check_listener("--rate_limiter", address, "start the rate limit service there")
    model_checks.check_model(
        known_args.model,
        here=here,
        api_key_env=known_args.api_key_env,
        api_key_secret=known_args.api_key_secret,
        api_key_file=known_args.api_key_file,
        base_url=known_args.base_url,
        answer=answer_of(known_args),
        **model_params(known_args),
    )


def settle_in_flight(known_args: argparse.Namespace) -> bool:
    """Set the default of `--max_in_flight`; return whether this machine serves the model."""
    launched = model_checks.is_launched_here(known_args.model)
    known_args.max_in_flight = known_args.max_in_flight or (4 if launched else 64)
    return launched
