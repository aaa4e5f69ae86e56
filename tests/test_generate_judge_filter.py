"""The chain of two models in examples/: what is kept, what fails, and who is live."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import FakeServer, Wait, api_error, chat_events, chat_stream, stream

from transforms import Caps, NewLedger

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "generate_judge_filter", raising=False)
    import generate_judge_filter

    return generate_judge_filter


@pytest.fixture
def judge_server():
    with FakeServer() as server:
        yield server


def asked(request):
    return request.json["messages"][-1]["content"]


def write(request):
    """Write about the topic of the request."""
    topic = asked(request).removeprefix("Write two sentences about ").partition(" for ")[0]
    if topic == "secrets":
        return api_error(400, "invalid_request_error", "x", "No.")
    return chat_stream(f"All about {topic}.")


def grade(request):
    """Grade by what the text is about."""
    grades = {"bees": '{"grade": 5, "reason": "clear"}', "fog": '{"grade": 2, "reason": "foggy"}'}
    text = asked(request)
    return chat_stream(next((grades[name] for name in grades if name in text), "Fine, I think."))


def chain(example, writer, judge, **shared):
    return example.GenerateJudgeFilter(
        {"model": "openai/gpt-4o-mini", "base_url": writer.base_url, **shared},
        {"model": "openai/gpt-4o", "base_url": judge.base_url, **shared},
        show=str,
    )


def run(topics, transform, *checks):
    """Run `transform` over `topics`; each check gets its outputs."""
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        done = p | beam.Create(topics) | transform
        for check in checks:
            check(done)


def test_texts_with_a_good_grade_are_kept_and_all_others_are_accounted_for(
    example, fake_server, judge_server
):
    fake_server.script, judge_server.script = write, grade

    def check(done):
        kept = [("bees", "All about bees.", 5, "clear")]
        assert_that(done.kept | beam.Map(tuple), equal_to(kept), label="kept")
        failed = done.failed | beam.Map(lambda row: (row.id, row.error_type))
        assert_that(failed, equal_to([("secrets", "BadRequestError")]), label="failed")
        unreadable = done.unreadable | beam.Map(lambda row: row[0].id)
        assert_that(unreadable, equal_to(["maths/judge"]), label="unreadable")

    run(["bees", "fog", "maths", "secrets"], chain(example, fake_server, judge_server), check)
    assert sorted(request.json["model"] for request in judge_server.requests) == ["gpt-4o"] * 3
    (format,) = {orjson.dumps(r.json["response_format"]) for r in judge_server.requests}
    assert orjson.loads(format)["json_schema"]["schema"]["required"] == ["grade", "reason"]


JUDGED = threading.Event()


def note_the_judge(delta):
    """Let the writer go on once the judge's first text for another row is here."""
    if delta.id == "bees/judge" and delta.text:
        JUDGED.set()


def test_the_judge_is_live_while_the_writer_still_writes(example, fake_server, judge_server):
    pytest.importorskip("transforms.completions.stage", reason="the DoFns of a stage wait alone")
    JUDGED.clear()
    slow = chat_events("All about fog.")

    def write_slowly(request):
        if "fog" in asked(request):
            return stream(slow[0], Wait(JUDGED), *slow[1:])
        return write(request)

    fake_server.script, judge_server.script = write_slowly, grade
    # A writer that waits for a judge who is not live fails after a while.
    transform = chain(example, fake_server, judge_server, timeout=30, num_retries=0)
    transform._show = note_the_judge

    def check(done):
        kept = done.kept | beam.Map(lambda row: row.topic)
        assert_that(kept, equal_to(["bees"]))
        assert_that(done.failed, equal_to([]), label="failed")

    run(["fog", "bees"], transform, check)


def test_both_models_spend_one_budget(example, fake_server, judge_server):
    counted = {"prompt_tokens": 10, "completion_tokens": 490, "total_tokens": 500}
    fake_server.script = lambda request: chat_stream("All about bees.", usage=counted)
    # The writer's tokens leave 20, and the judge may use 30.
    budget = NewLedger(Caps(tokens=520), name="both")

    def check(done):
        failed = done.failed | beam.Map(lambda row: (row.id, row.error_type))
        assert_that(failed, equal_to([("bees/judge", "BudgetExceeded")]))

    transform = chain(example, fake_server, judge_server, budget=budget, max_tokens=30)
    run(["bees"], transform, check)
    assert len(fake_server.requests) == 1
    assert judge_server.requests == []
