"""Records of a stream are assembled: once an answer is whole, or incomplete after a wait."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows
from deltas import at

from transforms import AssembleRecords, Record

FIRST = "9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"
SECOND = "9f86d081884c7d65.0197a3c5ffff.000000000000"


def records_of(*values, submission=FIRST, attempt=1):
    """Return the records of an answer, the final one last."""
    found = [
        Record("a", submission, attempt, n, f"$.items[{n}]", value, True)
        for n, value in enumerate(values)
    ]
    return [*found, Record("a", submission, attempt, len(found), "$", None, True, final=True)]


def told(steps, wait_seconds, values, incomplete, windowing=None):
    """Run a stream (rows as they come, numbers for the watermark); compare what comes out."""
    coder = beam.coders.registry.get_coder(Record)
    made = test_stream.TestStream(coder=coder).advance_watermark_to(0)
    for step in steps:
        is_time = isinstance(step, int)
        made = made.advance_watermark_to(step) if is_time else made.add_elements(step)
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as p:
        records = p | made.advance_watermark_to_infinity().with_output_types(Record)
        if windowing is not None:
            records = records | windowing.with_output_types(Record)
        out = records | AssembleRecords(wait_seconds)
        whole = out.records | beam.Map(lambda r, t=beam.DoFn.TimestampParam: (r.value, int(t)))
        broken = out.incomplete | beam.Map(lambda letter: letter.message)
        assert_that(whole, equal_to(values))
        assert_that(broken, equal_to(incomplete), label="incomplete")


def test_records_are_emitted_when_their_answer_is_whole_and_not_when_its_window_ends():
    x, y, end = records_of("x", "y")
    told([at(1, end), 5, at(1, y), 6, at(1, x), 1000], 60, [("x", 1), ("y", 1)], [])


def test_a_silent_prompt_is_incomplete_after_the_wait_and_what_comes_later_is_dropped():
    x, y, end = records_of("x", "y")
    missing = "attempt 1 has 1 records; its final record is missing"
    told([at(1, x), 50, 62, at(1, y, end)], 60, [], [missing])


def test_repeated_records_do_not_count_twice():
    x, y, end = records_of("x", "y")
    told([at(1, x, x), 2, at(1, end), 3, at(1, x), 4, at(1, y, y), 9], 60, [("x", 1), ("y", 1)], [])


def test_only_the_newest_answer_that_is_whole_comes_out():
    old, *_ = records_of("x", "y", "z")
    told([at(1, old), 2, at(3, *records_of("n", attempt=2)), 99], 60, [("n", 3)], [])
    lost = records_of("x", "y")[1:]
    told([at(1, *lost), 2, at(3, *records_of("n", submission=SECOND)), 99], 60, [("n", 3)], [])


def test_the_wait_ends_with_the_window():
    x, _, _ = records_of("x", "y")
    missing = "attempt 1 has 1 records; its final record is missing"
    told([at(1, x), 9, 11], 60, [], [missing], beam.WindowInto(FixedWindows(10)))


def test_a_wait_must_be_positive():
    with pytest.raises(ValueError, match="wait_seconds must be positive, got 0"):
        AssembleRecords(wait_seconds=0)
