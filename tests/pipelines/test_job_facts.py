"""What a job writes about itself: flags may hold prompts, so only the manifest has them."""

from __future__ import annotations

from pipelines.batch_complete import parser
from pipelines.cli.facts import report_facts, run_facts

FLAGS = ["--input", "rows.jsonl", "--output", "out", "--system", "the secret of the firm"]


def test_a_report_that_people_send_to_others_has_no_prompt_of_the_command_line():
    args = parser().parse_args(FLAGS)
    assert "secret" not in repr(report_facts(args))
    assert run_facts(args)["flags"]["system_template"] == "the secret of the firm"
