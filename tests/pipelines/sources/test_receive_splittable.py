"""A source that is read by turns: bundles end in between, and nothing is lost or read twice."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from pipelines.sources.acknowledgements import JobAcknowledger
from pipelines.sources.base import Message, SourceEnded
from pipelines.sources.receive_splittable import ReceiveSplittable, _Turn
from transforms import DeadLetter, Delta

LOG = []


class ListSource:
    """A source of `count` messages; all calls go to LOG."""

    def __init__(self, count):
        self._count = count

    def check(self):
        pass

    def __call__(self):
        LOG.append("opened")
        self._left = iter(range(self._count))
        return self

    def poll(self, seconds):
        LOG.append("polled")
        for n in self._left:
            data = b'{"id": "p%d", "prompt": "x"}' % n if n else b"nonsense"
            return Message(data, f"list:{n}", f"message {n}", n)
        raise SourceEnded

    def keep(self):
        LOG.append("kept")

    def settle(self, receipts):
        LOG.extend(receipts)

    def close(self):
        LOG.append("closed")


@pytest.fixture(autouse=True)
def log():
    LOG.clear()
    return LOG


class Answer(beam.DoFn):
    """Publishes an outcome of each row as it comes."""

    def __init__(self, acknowledger):
        self._acknowledger = acknowledger

    def process(self, row):
        outcome = row if isinstance(row, DeadLetter) else Delta(row.id, 1, 0, "", None, "{}", True)
        self._acknowledger.published([outcome])
        yield row.id

    def finish_bundle(self):
        LOG.append("bundle")


def run(count, seconds, slots=0):
    """Read all, and answer it."""
    acknowledger = JobAcknowledger(frozenset({Delta}))
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        received = p | ReceiveSplittable(ListSource(count), acknowledger, 1000, seconds, slots)
        prompts = received.prompts | "Prompts" >> beam.ParDo(Answer(acknowledger))
        failed = received.dead_letters | "Failed" >> beam.ParDo(Answer(acknowledger))
        assert_that(prompts, equal_to([f"p{n}" for n in range(1, count)]), label="AllPrompts")
        assert_that(failed, equal_to(["list:0"]), label="AllFailed")
    assert acknowledger.open == 0


def test_each_message_arrives_once_over_many_turns(log):
    run(5, seconds=0.0)
    assert log.count("bundle") >= 5
    assert sorted(entry for entry in log if isinstance(entry, int)) == [0, 1, 2, 3, 4]
    assert (log.count("opened"), log.count("closed")) == (1, 1)


def test_one_reader_remains_in_a_slot(log):
    run(5, seconds=60.0, slots=2)
    assert (log.count("opened"), log.count("closed")) == (1, 1)


def test_a_runner_may_not_split_the_remaining_turns():
    turn = _Turn(OffsetRange(0, 10))
    turn.try_claim(0)
    assert turn.try_split(0.5) is None
    assert turn.try_split(0) == (OffsetRange(0, 1), OffsetRange(1, 10))
    assert not turn.is_bounded()
