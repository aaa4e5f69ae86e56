"""Sources: what comes out once, what comes again, and when a message is done."""

from __future__ import annotations

import io

import pytest

from pipelines.sources.base import SourceEnded, SourceUnavailable
from pipelines.sources.folder import FolderSource, _FolderConsumer
from pipelines.sources.kafka import Offsets
from pipelines.sources.stdin import StdinConsumer


def taken(consumer, looks=5):
    """Return what comes within some looks."""
    messages = []
    for _ in range(looks):
        while (message := consumer.poll(0.01)) is not None:
            messages.append(message)
    return messages


@pytest.fixture
def consumer(tmp_path):
    return _FolderConsumer(str(tmp_path), scan_every=0)


def test_standard_input_is_rows_or_prompts_and_ends():
    consumer = StdinConsumer(io.BytesIO(b'{"prompt": "a"}\n\n  plain "words" \n'))
    assert consumer.poll(5).data == b'{"prompt": "a"}'
    assert consumer.poll(5).text == '{"prompt":"plain \\"words\\""}'
    for _ in range(2):
        with pytest.raises(SourceEnded):
            consumer.poll(5)


def test_equal_lines_of_two_runs_are_different_prompts():
    first, second = (StdinConsumer(io.BytesIO(b"x\n")).poll(5).id for _ in range(2))
    assert first != second


def test_files_are_read_as_they_appear_and_moved_when_every_line_has_its_outcome(
    consumer, tmp_path
):
    (tmp_path / "a.jsonl").write_text("1\n\n2\n")
    messages = taken(consumer)
    assert [(m.text, m.id) for m in messages] == [("1", "a.jsonl:1"), ("2", "a.jsonl:3")]
    (tmp_path / "b.jsonl").write_text("3")
    assert [m.text for m in taken(consumer)] == ["3"]
    consumer.settle([messages[0].receipt])
    assert not list((tmp_path / "done").iterdir())
    consumer.settle([messages[1].receipt])
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["a.jsonl"]


def test_a_growing_file_is_not_read(consumer, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("1\n")
    assert consumer.poll(0) is None
    path.write_text("1\n2\n")
    assert consumer.poll(0) is None
    assert [m.text for m in taken(consumer)] == ["1", "2"]


def test_hidden_files_and_other_files_are_not_read(consumer, tmp_path):
    for name in (".a.jsonl", "b.tmp", "c.jsonl.part"):
        (tmp_path / name).write_text("1\n")
    assert taken(consumer) == []


def test_an_empty_file_is_done_at_once(consumer, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n")
    assert taken(consumer) == []
    assert (tmp_path / "done" / "a.jsonl").exists()


def test_a_file_that_was_not_finished_is_read_again_by_the_next_run(consumer, tmp_path):
    (tmp_path / "a.jsonl").write_text("1\n2\n")
    messages = taken(consumer)
    consumer.settle([messages[0].receipt])
    again = taken(_FolderConsumer(str(tmp_path), scan_every=0))
    assert [m.id for m in again] == [m.id for m in messages]


def test_a_new_file_with_the_name_of_an_earlier_one_is_read(consumer, tmp_path):
    for text in ("1", "2"):
        (tmp_path / "a.jsonl").write_text(text)
        (message,) = taken(consumer)
        assert message.text == text
        consumer.settle([message.receipt])
        taken(consumer)


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceUnavailable, match="file"):
        FolderSource(str(tmp_path / "file")).check()


def test_a_group_resumes_from_the_first_record_without_an_outcome():
    offsets = Offsets()
    assert offsets.committable == -1
    for offset in (5, 6, 9):
        offsets.take(offset)
    offsets.settle(6)
    assert offsets.committable == 5
    offsets.settle(5)
    assert offsets.committable == 9
    offsets.settle(9)
    assert offsets.committable == 10
