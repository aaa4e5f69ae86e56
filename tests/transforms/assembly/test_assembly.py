"""Deltas of a stream are assembled in windows: once they are whole, or incomplete after a wait."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterCount,
    AfterProcessingTime,
    AfterWatermark,
    DefaultTrigger,
    Repeatedly,
)
from apache_beam.transforms.window import FixedWindows
from deltas import at, deltas_of

from transforms import AssembleCompletions, Delta


def stream_of(*steps):
    """Return a stream: deltas as they come, and numbers for the watermark."""
    coder = beam.coders.registry.get_coder(Delta)
    made = test_stream.TestStream(coder=coder).advance_watermark_to(0)
    for step in steps:
        is_time = isinstance(step, int)
        made = made.advance_watermark_to(step) if is_time else made.add_elements(step)
    return made.advance_watermark_to_infinity()


class _TellFn(beam.DoFn):
    """Adds to a row its window and its time of output, in event time."""

    def process(self, row, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        text = row.partial_text if hasattr(row, "partial_text") else row.text
        yield row.id, text, int(timestamp), int(window.start) if int(window.start) >= 0 else None


def told(stream, wait_seconds, completions, incomplete, windowing=None):
    """Run `stream` through the transform, and compare what comes out."""
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as p:
        deltas = p | stream.with_output_types(Delta)
        if windowing is not None:
            deltas = deltas | windowing.with_output_types(Delta)
        out = deltas | AssembleCompletions(wait_seconds)
        whole = out.completions | "Whole" >> beam.ParDo(_TellFn())
        broken = out.incomplete | "Broken" >> beam.ParDo(_TellFn())
        assert_that(whole, equal_to(completions))
        assert_that(broken, equal_to(incomplete), label="incomplete")


def test_a_completion_is_emitted_when_it_is_whole_and_not_when_its_window_ends():
    x, y, z, end = deltas_of("a")
    steps = [at(1, z), at(1, end), 5, at(1, x, y), 1000]
    told(stream_of(*steps), 60, [("a", "xyz", 1, None)], [])


def test_a_silent_prompt_is_incomplete_after_the_wait():
    x, y, z, end = deltas_of("a")
    late = [at(1, z, end)]
    steps = [at(1, x, y), 50, 62, *late]
    told(stream_of(*steps), 60, [], [("a", "xy", 61, None)])


def test_a_slow_prompt_is_not_incomplete():
    x, y, z, end = deltas_of("a")
    steps = [at(1, x), 40, at(45, y), 80, at(85, z), 120, at(125, end), 1000]
    told(stream_of(*steps), 60, [("a", "xyz", 125, None)], [])


def test_repeated_deltas_of_a_whole_completion_are_dropped():
    deltas = deltas_of("a")
    steps = [at(1, *deltas), 2, at(1, *deltas), 50, at(1, deltas[1]), 70, at(1, deltas[0])]
    told(stream_of(*steps, 130), 60, [("a", "xyz", 1, None)], [])


def test_the_wait_ends_with_the_window():
    x, y, z, end = deltas_of("a")
    steps = [at(1, x, y), 9, 11, at(1, z, end)]
    windows = beam.WindowInto(FixedWindows(10))
    told(stream_of(*steps), 60, [], [("a", "xy", 9, 0)], windows)


def test_late_deltas_within_the_allowed_lateness_make_a_completion():
    x, y, z, end = deltas_of("a")
    half = deltas_of("b")[:2]
    steps = [at(1, x, y, *half), 11, at(1, z), 20, at(1, end), 100]
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=30)
    told(stream_of(*steps), 60, [("a", "xyz", 1, 0)], [("b", "xy", 39, 0)], windows)


def test_one_prompt_in_two_windows_has_two_completions():
    first, second = deltas_of("a"), deltas_of("a", pieces=("w",))
    steps = [at(1, *first), at(11, *second)]
    windows = beam.WindowInto(FixedWindows(10))
    told(stream_of(*steps), 60, [("a", "xyz", 1, 0), ("a", "w", 11, 10)], [], windows)


def test_each_prompt_of_a_bounded_input_has_one_outcome():
    rows = deltas_of("a") + deltas_of("a") + deltas_of("b", 2) + deltas_of("c", final=False)
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        out = p | beam.Create(rows).with_output_types(Delta) | AssembleCompletions(wait_seconds=60)
        texts = out.completions | beam.Map(lambda c: (c.id, c.text))
        assert_that(texts, equal_to([("a", "xyz"), ("b", "xyz")]))
        left = out.incomplete | beam.Map(lambda d: (d.id, d.partial_text, d.error_type))
        assert_that(left, equal_to([("c", "xyz", "IncompleteDeltas")]), label="incomplete")


def test_a_wait_of_zero_seconds_is_refused():
    with pytest.raises(ValueError, match="wait_seconds must be positive"):
        AssembleCompletions(wait_seconds=0)


# --- Out of order -----------------------------------------------------------------------------


def test_a_delta_that_arrives_late_does_not_shorten_the_wait():
    x, y, z, end = deltas_of("a")
    steps = [at(1, x), at(50, z), at(2, y), 45, at(55, end)]
    told(stream_of(*steps), 10, [("a", "xyz", 55, None)], [])


def test_the_wait_counts_from_the_newest_delta():
    x, y, z, _ = deltas_of("a")
    steps = [at(1, x), at(50, z), at(2, y), 45, 59, 61]
    told(stream_of(*steps), 10, [], [("a", "xyz", 60, None)])


def test_a_repeat_that_arrives_late_does_not_open_a_whole_completion_again():
    deltas = deltas_of("a")
    steps = [at(50, *deltas), at(2, deltas[0]), 60, at(61, deltas[1]), 65, 200]
    told(stream_of(*steps), 10, [("a", "xyz", 50, None)], [])


def test_a_prompt_that_is_sent_again_is_not_joined_with_its_first_text():
    first = [d._replace(submission="d.1.x") for d in deltas_of("a", pieces=("A", "A", "A"))]
    second = [d._replace(submission="d.2.x") for d in deltas_of("a", pieces=("B", "B"))]
    steps = [at(1, first[0], first[2], *second[1:]), 5, at(6, second[0]), 100]
    told(stream_of(*steps), 60, [("a", "BB", 6, None)], [])


def test_two_prompts_with_one_id_have_an_outcome_each():
    one = [d._replace(submission="d.1.x") for d in deltas_of("a", pieces=("x",))]
    two = [d._replace(submission="e.1.x") for d in deltas_of("a", pieces=("y",))]
    steps = [at(1, one[0], two[1]), at(2, two[0]), at(3, one[1]), 100]
    told(stream_of(*steps), 60, [("a", "y", 2, None), ("a", "x", 3, None)], [])


# --- Panes ------------------------------------------------------------------------------------

DISCARDING, ACCUMULATING = AccumulationMode.DISCARDING, AccumulationMode.ACCUMULATING
IN_PARTS = {
    "late firings": {
        "trigger": AfterWatermark(late=AfterCount(1)),
        "allowed_lateness": 20,
        "accumulation_mode": DISCARDING,
    },
    "the default trigger with late data": {"allowed_lateness": 20},
    "early firings": {
        "trigger": AfterWatermark(early=AfterProcessingTime(1)),
        "accumulation_mode": DISCARDING,
    },
    "each delta": {"trigger": Repeatedly(AfterCount(1)), "accumulation_mode": DISCARDING},
}
WHOLE = {
    "the default": {},
    "late firings without late data": {
        "trigger": AfterWatermark(late=AfterCount(1)),
        "accumulation_mode": DISCARDING,
    },
    "accumulating": {
        "trigger": AfterWatermark(early=AfterCount(1), late=AfterCount(1)),
        "allowed_lateness": 20,
        "accumulation_mode": ACCUMULATING,
    },
    "accumulating by default": {
        "trigger": DefaultTrigger(),
        "allowed_lateness": 20,
        "accumulation_mode": ACCUMULATING,
    },
}


def assembled_in(windowing, wait_seconds=None, deltas=None):
    p = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", "--streaming"]))
    made = p | (deltas or stream_of(at(1, *deltas_of("a")))).with_output_types(Delta)
    windows = beam.WindowInto(FixedWindows(10), **windowing).with_output_types(Delta)
    return made | windows | AssembleCompletions(wait_seconds)


@pytest.mark.parametrize("windowing", IN_PARTS.values(), ids=IN_PARTS)
def test_panes_that_would_cut_a_completion_are_refused_at_construction(windowing):
    with pytest.raises(ValueError, match="must not fire more than once per window and discard"):
        assembled_in(windowing)
    assembled_in(windowing, wait_seconds=10)


@pytest.mark.parametrize("windowing", WHOLE.values(), ids=WHOLE)
def test_panes_with_all_deltas_are_accepted(windowing):
    assembled_in(windowing)


def test_a_bounded_input_has_no_late_data():
    given = beam.Create(deltas_of("a"))
    assembled_in(IN_PARTS["the default trigger with late data"], deltas=given)
    with pytest.raises(ValueError, match="must not fire more than once"):
        assembled_in(IN_PARTS["each delta"], deltas=beam.Create(deltas_of("a")))


def test_a_late_delta_completes_an_accumulating_window():
    x, y, z, end = deltas_of("a")
    windows = beam.WindowInto(FixedWindows(10), **WHOLE["accumulating by default"])
    steps = [at(1, x, y, z), 12, at(2, end), 100]
    told(stream_of(*steps), None, [("a", "xyz", 9, 0)], [("a", "xyz", 9, 0)], windows)
