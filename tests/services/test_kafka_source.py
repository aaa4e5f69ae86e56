"""Readers of one Kafka group: one that is busy with its answers does not hold up the others."""

from __future__ import annotations

from contextlib import closing

from programs import until
from prompts import prompts
from streaming_backends import KafkaPlace

from pipelines.sources.kafka import KafkaSource


def test_a_reader_that_waits_for_its_answers_lets_another_in_and_commits(kafka, source):
    assert isinstance(source, KafkaPlace)
    where = KafkaSource(kafka.address, source.name, "ritellm")
    source.send(*prompts(4))
    with closing(where()) as first:
        taken = [until(lambda: first.poll(0.1)) for _ in range(4)]
        first.settle([taken[0].receipt])
        until(lambda: first.keep() or source.settled() == 1)
        source.send(*prompts(20, start=4))
        with closing(where()) as second:

            def shared():
                first.keep()
                return second.poll(0.1)

            came = {until(shared).id, *(message.id for message in taken)}

            def all_came():
                came.update(each.id for reader in (first, second) if (each := reader.poll(0.1)))
                return len(came) == 24

            until(all_came)
