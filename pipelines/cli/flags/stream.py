"""The flags of the streaming program: where its messages come from and go, and how."""

from __future__ import annotations

from pipelines.cli import parser as cli_parser
from pipelines.cli.flags import commit as commit_flags
from pipelines.cli.flags.serve import add_serve_option
from pipelines.cli.location_forms import DELTA_SINKS, ROW_SINKS, SOURCES
from pipelines.cli.parser import positive


def add_location_options(made: cli_parser.Parser) -> None:
    """Add the source and the sinks."""
    where = made.add_argument_group("source and sinks")
    where.add_argument(
        "--source",
        required=True,
        metavar="WHERE",
        help=f"where to receive prompts from: {SOURCES}",
    )
    where.add_argument(
        "--deltas_to",
        default="stdout",
        metavar="WHERE",
        help=f"where to publish deltas: {DELTA_SINKS} (default: %(default)s)",
    )
    where.add_argument(
        "--completions_to",
        metavar="WHERE",
        help=f"where to publish completions: {ROW_SINKS} (default: nowhere)",
    )
    add_serve_option(where)
    where.add_argument(
        "--failed_to",
        metavar="WHERE",
        help="where to publish failed messages; takes the same values as --completions_to (default:"
        " the sink of the completions, or else of the deltas)",
    )


def add_stream_options(made: cli_parser.Parser) -> None:
    """Add the limits of receiving and publishing."""
    stream = made.add_argument_group("stream")
    stream.add_argument(
        "--flush_msec",
        type=positive,
        default=10,
        metavar="MSEC",
        help="the shortest time between two publish batches of deltas; the first delta after a"
        " pause is published at once (default: %(default)s)",
    )
    stream.add_argument(
        "--sink_patience",
        type=positive,
        default=60,
        metavar="SECONDS",
        help="how long to wait for an unavailable sink before failing the job (default:"
        " %(default)s)",
    )
    stream.add_argument(
        "--drain_seconds",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="how long to wait for completions in flight after Ctrl-C or SIGTERM, or in a drain"
        " with --commit_every; the job receives no new messages meanwhile (default: %(default)s)",
    )
    commit_flags.add_commit_options(stream)
    stream.add_argument(
        "--turn_seconds",
        type=positive,
        default=10,
        metavar="SECONDS",
        help="on a runner with checkpoints: how long to receive messages before the job pauses,"
        " finishes their completions and allows a checkpoint (default: %(default)s)",
    )
    stream.add_argument(
        "--kafka_group",
        default="ritellm",
        metavar="NAME",
        help="the consumer group of a Kafka source (default: %(default)s)",
    )
    stream.add_argument(
        "--kafka_config",
        metavar="FILE",
        help="a file of name=value lines for librdkafka, for example with credentials",
    )
    stream.add_argument(
        "--max_message_bytes",
        type=positive,
        default=1 << 20,
        metavar="N",
        help="the largest message to send; a larger one fails (default: %(default)s)",
    )
