"""Names that rows and providers choose are bounded where each costs memory."""

from __future__ import annotations

import asyncio
from collections import Counter

import apache_beam as beam

from pipelines.outputs.report import Totals
from ritellm.endpoints import Endpoint
from ritellm.providers import PROVIDERS
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from transforms.elements import Completion, DeadLetter
from transforms.labels import MOST_LABELS, OTHER, Labels, add_bounded
from transforms.metrics import Meter
from transforms.worker.capacity.room import Room
from transforms.worker.resources import Resources


def test_the_first_names_are_labels_and_all_others_are_one():
    labels = Labels()
    first = [labels.of(f"m{number}") for number in range(MOST_LABELS)]
    assert first == [f"m{number}" for number in range(MOST_LABELS)]
    assert labels.of("one more") == labels.of("another") == OTHER
    assert labels.of("m7") == "m7"


def test_a_name_of_kilobytes_is_no_label():
    assert Labels().of("m" * 1000) == OTHER
    assert Labels().of(None) == "None"


def test_counts_of_names_are_bounded_and_nothing_is_lost():
    counts: Counter[str] = Counter()
    for number in range(1000):
        add_bounded(counts, {f"reason {number}": 2})
    assert len(counts) == MOST_LABELS + 1
    assert counts[OTHER] == 2 * (1000 - MOST_LABELS)


def completion(number, **changes):
    fields = dict.fromkeys(Completion._fields)
    named = {"id": f"{number}", "model": f"openai/m{number}", "completion": "{}"}
    named["finish_reason"] = f"reason {number}"
    numbers = {"attempts": 1, "wasted_tokens": 0, "replayed": False, "shared": False}
    return Completion(**{**fields, **named, **numbers, "ttft": 0.1, "seconds": 0.2, **changes})


def count_thousand(_):
    meter = Meter(Resources(None, Room(1), Gate(Limits(1))))
    meter.count([completion(number) for number in range(1000)])


def test_the_metrics_of_a_job_do_not_grow_with_its_models():
    p = beam.Pipeline(runner="FnApiRunner")
    p | beam.Create([None]) | beam.Map(count_thousand)
    result = p.run()
    result.wait_until_finish()
    found = {kind: result.metrics().query()[kind] for kind in ("counters", "distributions")}
    names = [each.key.metric.name for kind in found.values() for each in kind]
    for metric in ("completions", "finish_reason", "ttft_msec"):
        of_kind = [name for name in names if name.startswith(f"{metric}:")]
        assert f"{metric}:other" in of_kind
        assert 1 < len(of_kind) <= MOST_LABELS + 1


def test_the_report_of_a_job_does_not_grow_with_its_finish_reasons():
    totals = Totals()
    for number in range(1000):
        totals.add(completion(number, text="x", wasted_cost_usd=0.0))
    both = Totals()
    both.merge(totals)
    both.merge(totals)
    assert len(both.finish_reasons) == MOST_LABELS + 1
    assert sum(both.finish_reasons.values()) == 2000


def test_the_gate_of_a_job_does_not_grow_with_its_models():
    async def queues():
        gate = Gate(Limits(64))
        endpoint = Endpoint(PROVIDERS["openai"], "http://h/v1", "k", {})
        return [gate.queue(endpoint, f"m{number % 1000}") for number in range(3000)]

    made = asyncio.run(queues())
    assert len(set(map(id, made))) == 257
    assert made[7] is made[1007]
    assert made[300] is made[999]


def test_an_error_of_any_name_is_counted():
    totals = Totals()
    letter = DeadLetter(**{**dict.fromkeys(DeadLetter._fields), "attempts": 1, "wasted_tokens": 0})
    totals.add(letter._replace(error_type="Timeout", wasted_cost_usd=0.0))
    assert totals.errors == {"Timeout": 1}
