"""The flags of `POST /prompts`, and what they make."""

from __future__ import annotations

import argparse
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.cli.flags.prompts import add_prompt_options, row_form
from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from pipelines.inputs.row_form import RowForm

if TYPE_CHECKING:
    from pipelines.serve_deltas.access import Access
    from pipelines.serve_deltas.prompts.endpoint import Prompts
    from pipelines.serve_deltas.prompts.queues.base import PromptQueue

FORMS = "redis://HOST/DB, kafka:BROKERS/TOPIC or pubsub:projects/P/topics/T"
_SAME = "the same Redis"


def add_prompts(parser: Any) -> None:
    """Add --prompts_to, its bounds, and the flags that say how a row becomes a prompt."""
    group = parser.add_argument_group("prompts")
    group.add_argument(
        "--prompts_to",
        nargs="?",
        const=_SAME,
        metavar="WHERE",
        help="take prompts, POST /prompts, and put them into the source of the job:"
        f" {FORMS}; without WHERE the Redis of --from (default: take no prompts)",
    )
    group.add_argument(
        "--prompts_per_minute",
        type=positive,
        default=60,
        metavar="N",
        help="the most prompts of one client, which is a token, or an address without --secret_env"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--kafka_config",
        metavar="FILE",
        help="a file of name=value lines for librdkafka, for example with credentials",
    )
    add_prompt_options(parser)


def prompt_rows(known_args: argparse.Namespace) -> RowForm:
    """Return how the rows of the job become prompts. Raises UsageError."""
    return row_form(known_args)


def prompts(known_args: argparse.Namespace, access: Access, rows: RowForm) -> Prompts | None:
    """Return what takes prompts, None without --prompts_to. Raises UsageError. Imports Beam."""
    if known_args.prompts_to is None:
        return None
    from pipelines.serve_deltas.prompts.claims.redis import RedisClaims
    from pipelines.serve_deltas.prompts.endpoint import Prompts
    from pipelines.serve_deltas.prompts.intake import asked

    where = known_args.source if known_args.prompts_to == _SAME else known_args.prompts_to
    return Prompts(
        _queue(where, known_args.kafka_config),
        RedisClaims(known_args.source),
        partial(asked, rows=rows),
        access,
        per_minute=known_args.prompts_per_minute,
        valid_seconds=known_args.valid_seconds,
    )


def _queue(where: str, kafka_config: str | None) -> PromptQueue:
    scheme, _, rest = where.partition(":")
    try:
        if scheme in ("redis", "rediss", "unix"):
            from pipelines.serve_deltas.prompts.queues.redis import RedisQueue

            return RedisQueue(re.sub(r"^redis:(?=\w+://)", "", where))
        if scheme == "kafka" and re.fullmatch(r"[^/\s]+/[\w.-]{1,249}", rest):
            from pipelines.serve_deltas.prompts.queues.kafka import KafkaQueue

            brokers, _, topic = rest.rpartition("/")
            return KafkaQueue(brokers, topic, kafka_config)
        if scheme == "pubsub" and re.fullmatch(r"projects/[^/\s]+/topics/[^/\s]+", rest):
            from pipelines.serve_deltas.prompts.queues.pubsub import PubSubQueue

            return PubSubQueue(rest)
    except (ImportError, ValueError) as error:
        raise UsageError(f"--prompts_to {error}") from None
    raise UsageError(f"--prompts_to must be one of {FORMS}; got {where!r}")
