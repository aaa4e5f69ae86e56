"""Windows: one request for each prompt, and its outcomes in all windows of the prompt."""

from __future__ import annotations

import apache_beam as beam
import orjson
import pytest
from apache_beam.coders.coders import IntervalWindowCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindows,
    IntervalWindow,
    NonMergingWindowFn,
    Sessions,
    SlidingWindows,
    TimestampedValue,
)
from fake_server import api_error, echo

from transforms import CompletePrompts, Prompt, StreamCompletions
from transforms.journal import NewJournal

PROMPTS = 15
IDS = [f"p{n}" for n in range(PROMPTS)]
FLAGS = {
    "one thread": [],
    "bundles repeated": ["--direct_runner_bundle_repeat=2"],
}


class _Staircase(NonMergingWindowFn):
    """Prompt n is in 1 + n % 3 windows."""

    def assign(self, context):
        start = int(context.timestamp)
        return [IntervalWindow(start, start + 10 * size) for size in range(1, 2 + start % 3)]

    def get_window_coder(self):
        return IntervalWindowCoder()


class _Nowhere(_Staircase):
    """Prompts with an odd number are in no window."""

    def assign(self, context):
        return [] if int(context.timestamp) % 2 else super().assign(context)


WINDOWS = {
    "global": GlobalWindows(),
    "fixed": FixedWindows(7),
    "sliding": SlidingWindows(60, 10),
    "sessions": Sessions(5),
    "custom": _Staircase(),
}


@pytest.fixture(params=WINDOWS.values(), ids=WINDOWS.keys())
def windows(request):
    return request.param


class _PlaceFn(beam.DoFn):
    """Returns where an element is, once for all its windows."""

    def process(self, element, place=beam.DoFn.WindowedValueParam):
        yield element.id, _place(place)


def _place(of):
    return str(of.timestamp), sorted(map(str, of.windows)), repr(of.pane_info)


def pipeline(flags=()):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def windowed(p, windows):
    """Return prompts at the seconds 0, 1, 2, ... in their windows."""

    def timed(n):
        request = {"messages": [{"role": "user", "content": f"word {n}"}]}
        return TimestampedValue(Prompt(f"p{n}", orjson.dumps(request).decode()), n)

    numbers = p | beam.Create(range(PROMPTS), reshuffle=False)
    timed_prompts = numbers | beam.Map(timed).with_output_types(Prompt)
    return timed_prompts | "Windowed" >> beam.WindowInto(windows)


def in_place(prompts, outcomes, label, ids=None):
    """Assert that each of `outcomes` is where its prompt is."""
    wanted = prompts | f"{label}: prompts" >> beam.ParDo(_PlaceFn())
    found = outcomes | f"{label}: outcomes" >> beam.ParDo(_PlaceFn())
    both = (wanted, found) | f"{label}: both" >> beam.Flatten()
    alone = both | f"{label}: global" >> beam.WindowInto(GlobalWindows())
    grouped = alone | f"{label}: by id" >> beam.GroupByKey()
    rows = grouped | f"{label}: rows" >> beam.MapTuple(
        lambda id, places: (id, len(places) > 1, len({str(place) for place in places}))
    )
    has = set(IDS if ids is None else ids)
    assert_that(rows, equal_to([(id, id in has, 1) for id in IDS]), label=label)


def asking(server, transform=CompletePrompts, **options):
    return transform("openai/m", base_url=server.base_url, max_in_flight=1, **options)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())
def test_a_prompt_is_sent_once_and_its_outcomes_are_in_all_its_windows(fake_server, windows, flags):
    with pipeline(flags) as p:
        prompts = windowed(p, windows)
        done = prompts | asking(fake_server, emit_deltas=True)
        in_place(prompts, done.completions, "completions")
        in_place(prompts, done.deltas, "deltas")
        assert_that(done.dead_letters, equal_to([]), label="no dead letters")
    repeats = 3 if "repeat" in str(flags) else 1  # a bundle, and its two repeats
    assert len(fake_server.requests) == PROMPTS * repeats


def test_dead_letters_are_in_all_windows_of_their_prompt(fake_server, windows):
    fake_server.script = lambda request: api_error(400)
    with pipeline() as p:
        prompts = windowed(p, windows)
        done = prompts | asking(fake_server, StreamCompletions)
        in_place(prompts, done.dead_letters, "dead letters")
    assert len(fake_server.requests) == PROMPTS


def test_outcomes_from_the_journal_are_in_all_windows_of_their_prompt(
    fake_server, windows, tmp_path
):
    for _ in range(2):
        with pipeline() as p:
            prompts = windowed(p, windows)
            journal = NewJournal("auto", str(tmp_path))
            done = prompts | asking(fake_server, emit_deltas=True, journal=journal)
            in_place(prompts, done.completions, "completions")
            in_place(prompts, done.deltas, "deltas")
    assert len(fake_server.requests) == PROMPTS


def test_pacing_is_in_all_windows_of_a_prompt(fake_server):
    with pipeline() as p:
        done = windowed(p, SlidingWindows(60, 10)) | asking(fake_server)
        counts = done.pacing | beam.ParDo(_CountFn()) | "Global" >> beam.WindowInto(GlobalWindows())
        assert_that(counts | beam.Distinct(), equal_to([6]))


class _CountFn(beam.DoFn):
    def process(self, _, place=beam.DoFn.WindowedValueParam):
        yield len(place.windows)


def test_a_prompt_keeps_its_pane(fake_server):
    with pipeline() as p:
        keyed = windowed(p, FixedWindows(7)) | beam.GroupBy(lambda prompt: prompt.id)
        prompts = keyed | beam.FlatMapTuple(lambda _, found: found).with_output_types(Prompt)
        done = prompts | asking(fake_server, emit_deltas=True)
        in_place(prompts, done.completions, "completions")
        in_place(prompts, done.deltas, "deltas")
        timings = prompts | beam.ParDo(_TimingFn()) | "Global" >> beam.WindowInto(GlobalWindows())
        timings |= beam.Distinct()
        assert_that(timings, equal_to(["ON_TIME"]), label="panes of a trigger")


class _TimingFn(beam.DoFn):
    def process(self, _, pane=beam.DoFn.PaneInfoParam):
        yield {0: "EARLY", 1: "ON_TIME", 2: "LATE", 3: "UNKNOWN"}[pane.timing]


def test_a_prompt_in_no_window_is_not_sent(fake_server):
    with pipeline() as p:
        done = windowed(p, _Nowhere()) | asking(fake_server)
        ids = done.completions | beam.Map(lambda row: row.id) | beam.WindowInto(GlobalWindows())
        assert_that(ids | beam.Distinct(), equal_to(IDS[::2]))
    assert len(fake_server.requests) == len(IDS[::2])


def test_sliding_windows_sum_each_completion_once_a_window(fake_server):
    fake_server.script = echo
    with pipeline() as p:
        done = windowed(p, SlidingWindows(20, 10)) | asking(fake_server)
        counts = done.completions | beam.Map(lambda _: 1)
        sums = counts | beam.CombineGlobally(sum).without_defaults() | beam.ParDo(_StartFn())
        assert_that(sums, equal_to([(-10, 10), (0, 15), (10, 5)]))


class _StartFn(beam.DoFn):
    def process(self, count, window=beam.DoFn.WindowParam):
        yield int(window.start), count
