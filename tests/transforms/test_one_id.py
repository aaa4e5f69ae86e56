"""One id, several texts: a prompt that is sent again, and two prompts with the same id."""

from __future__ import annotations

import itertools

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from fake_server import chat_events, stream

from pipelines.inputs.row_form import RowForm
from pipelines.sources.base import Message
from pipelines.sources.receive_native import _sorted_out
from ritellm import Finished, Superseded, follow
from transforms import (
    AssembleCompletions,
    CompletePrompts,
    Prompt,
    PublishDeltas,
    StreamCompletions,
)
from transforms.graph.tags import DEAD_LETTERS, PROMPTS

PUBLISHED = []


class Sink:
    """Keeps the deltas in this process."""

    def check(self):
        pass

    def publish(self, batch):
        PUBLISHED.extend(batch)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def published():
    PUBLISHED.clear()
    return PUBLISHED


def pipeline(flags=()):
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags]))


def prompt(text, id="a"):
    body = {"messages": [{"role": "user", "content": text}]}
    return Prompt(id, orjson.dumps(body).decode())


def never_the_same(server):
    """Let each response have another text of another length: "A0 A1 A2 A3", "B0 B1", "C0", ..."""
    texts = itertools.chain([" ".join(f"A{n}" for n in range(4)), "B0 B1"], itertools.repeat("C0"))
    server.script = lambda request: stream(*chat_events(next(texts)))


def by_text(server):
    server.script = lambda request: stream(
        *chat_events(f"re {request.json['messages'][-1]['content']}")
    )


class _DieFn(beam.DoFn):
    def process(self, delta):
        if delta.seq == 2:
            raise RuntimeError("the worker is lost")
        yield delta


def streamed(p, server, *prompts):
    rows = p | beam.Create(prompts, reshuffle=False).with_output_types(Prompt)
    return rows | StreamCompletions("openai/m", base_url=server.base_url, timeout=5)


def test_a_bundle_that_dies_in_mid_answer_leaves_no_text_in_the_next_answer(fake_server):
    never_the_same(fake_server)
    with pytest.raises(RuntimeError, match="the worker is lost"), pipeline() as p:
        streamed(p, fake_server, prompt("x")).deltas | PublishDeltas(Sink) | beam.ParDo(_DieFn())
    with pipeline() as p:
        streamed(p, fake_server, prompt("x")).deltas | PublishDeltas(Sink)
    events = list(follow(PUBLISHED))
    finished = [event.text for event in events if isinstance(event, Finished)]
    assert finished[-1] == "B0 B1"
    assert any(isinstance(event, Superseded) for event in events)
    assert {event.text for event in follow(PUBLISHED[::-1]) if isinstance(event, Finished)} <= {
        "A0 A1 A2 A3",
        "B0 B1",
    }


def test_a_repeated_bundle_is_a_newer_text(fake_server):
    never_the_same(fake_server)
    with pipeline(["--direct_runner_bundle_repeat=1"]) as p:
        streamed(p, fake_server, prompt("x")).deltas | PublishDeltas(Sink)
    assert len({delta.submission for delta in PUBLISHED}) == 2
    *_, last = [event.text for event in follow(PUBLISHED) if isinstance(event, Finished)]
    assert last == "B0 B1"


@pytest.mark.parametrize("wait_seconds", [None, 60])
def test_two_prompts_with_one_id_become_two_completions(fake_server, wait_seconds):
    by_text(fake_server)
    wanted = [("a", "re x"), ("a", "re y z")]
    with pipeline() as p:
        done = streamed(p, fake_server, prompt("x"), prompt("y z"))
        assembled = done.deltas | PublishDeltas(Sink) | AssembleCompletions(wait_seconds)
        texts = assembled.completions | "Texts" >> beam.Map(lambda c: (c.id, c.text))
        assert_that(texts, equal_to(wanted))
        assert_that(assembled.incomplete, equal_to([]), label="Incomplete")
        assert_that(done.dead_letters, equal_to([]), label="DeadLetters")
    finished = [event for event in follow(PUBLISHED) if isinstance(event, Finished)]
    assert sorted((event.id, event.text) for event in finished) == wanted


def test_two_messages_with_one_id_become_two_completions_in_a_job_on_many_workers(fake_server):
    by_text(fake_server)
    rows = [{"id": "chat-7", "prompt": text} for text in ("x", "y z")]
    messages = [
        Message(orjson.dumps(row), f"receipt {n}", f"message {n}") for n, row in enumerate(rows)
    ]
    with pipeline() as p:
        received = (
            p
            | beam.Create(messages, reshuffle=False)
            | beam.FlatMap(_sorted_out, 1 << 20, RowForm())
            .with_outputs(DEAD_LETTERS, main=PROMPTS)
            .with_output_types(Prompt)
        )
        done = received.prompts | CompletePrompts(
            "openai/m", emit_deltas=True, base_url=fake_server.base_url, timeout=5
        )
        done.deltas | PublishDeltas(Sink)
        texts = done.completions | "Texts" >> beam.Map(lambda c: (c.id, c.text))
        assert_that(texts, equal_to([("chat-7", "re x"), ("chat-7", "re y z")]))
    finished = [event.text for event in follow(PUBLISHED) if isinstance(event, Finished)]
    assert sorted(finished) == ["re x", "re y z"]


def test_a_completion_names_the_submission_of_its_deltas(fake_server):
    by_text(fake_server)
    with pipeline() as p:
        rows = p | beam.Create([prompt("x")], reshuffle=False).with_output_types(Prompt)
        done = rows | CompletePrompts(
            "openai/m", emit_deltas=True, base_url=fake_server.base_url, timeout=5
        )
        done.deltas | PublishDeltas(Sink)
        names = done.completions | beam.Map(lambda c: c.submission)
        done.completions | "Keep" >> beam.Map(lambda c: PUBLISHED.append(c))
        assert_that(names | beam.combiners.Count.Globally(), equal_to([1]))
    assert len({each.submission for each in PUBLISHED}) == 1
