"""RunInference against a server in trouble: every row ends once, and no good row is lost."""

from __future__ import annotations

import itertools
from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import Close, Reset, api_error, chat_events, echo, html_page, stream

from ritellm import RetryPolicy
from transforms import RitellmModelHandler

FAULTS = {
    "503": lambda: api_error(503, "server_error"),
    "429": lambda: api_error(429, "rate_limit_error", headers={"retry-after": "0.01"}),
    "truncated": lambda: stream(*chat_events("half of this")[:2]),
    "cut off": lambda: stream(*chat_events("half of this")[:2], Close()),
    "reset": lambda: stream(*chat_events("half of this")[:2], Reset()),
    "page": lambda: html_page(502),
}


def asked(request):
    return request.json["messages"][-1]["content"]


class Troubled:
    """Refuses bad rows, and answers every third first request for another row with a fault."""

    def __init__(self, faults):
        self._faults = itertools.cycle(faults)
        self.seen = Counter()

    def __call__(self, request):
        text = asked(request)
        self.seen[text] += 1
        if text.startswith("bad"):
            return api_error(400, "invalid_request_error", "x", "No.")
        if self.seen[text] == 1 and len(self.seen) % 3 == 0:
            return next(self._faults)()
        return echo(request)


@pytest.mark.parametrize("kinds", [*([kind] for kind in FAULTS), list(FAULTS)], ids="-".join)
def test_no_row_is_lost_and_no_row_without_a_fault_is_sent_twice(fake_server, kinds):
    fake_server.script = troubled = Troubled([FAULTS[kind] for kind in kinds])
    rows = [(n, f"bad {n}" if n % 10 == 0 else f"good {n}") for n in range(60)]
    handler = RitellmModelHandler(
        "openai/m", base_url=fake_server.base_url, retry=RetryPolicy(first_delay=0)
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        transform = RunInference(handler.keyed()).with_exception_handling()
        results, dead = p | beam.Create(rows) | transform
        said = results | beam.MapTuple(
            lambda key, result: (key, result.inference.choices[0].message.content)
        )
        assert_that(said, equal_to([row for row in rows if row[1].startswith("good")]))
        failed = dead.failed_inferences | beam.Map(lambda row: row[0])
        bad = [[row] for row in rows if row[1].startswith("bad")]
        assert_that(failed, equal_to(bad), label="dead letters")
    assert len(troubled.seen) == 60
    assert max(troubled.seen.values()) <= 2
    assert all(troubled.seen[f"bad {n}"] == 1 for n in range(0, 60, 10))
