"""The command line of the streaming program."""

from __future__ import annotations

from pipelines.cli import parser as cli_parser
from pipelines.cli.flags import stream as stream_flags
from pipelines.cli.flags.answer import add_answer_options
from pipelines.cli.flags.limits import add_limits
from pipelines.cli.flags.model import add_journal_options, add_model_options
from pipelines.cli.flags.prompts import add_prompt_options


def parser() -> cli_parser.Parser:
    """Return the command line."""
    made = cli_parser.Parser(
        prog=cli_parser.program("pipelines.stream_complete"),
        usage="%(prog)s --source WHERE [--deltas_to WHERE] [--model PROVIDER/MODEL] [options]",
        description="Complete prompts as they arrive from a source. Publish the deltas live and the"
        " completions once they are complete.",
        epilog="All options of Apache Beam are accepted too. Without --runner the job runs in this"
        " process.",
        allow_abbrev=False,
    )
    cli_parser.add_version(made)
    stream_flags.add_location_options(made)
    add_prompt_options(made)
    add_answer_options(made)
    add_model_options(made)
    add_journal_options(made)
    add_limits(made, endless=True)
    stream_flags.add_stream_options(made)
    return made
