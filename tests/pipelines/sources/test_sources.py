"""Sources: what comes out once, what comes again, and when a message is done."""

from __future__ import annotations

import io
import os
import shutil

import pytest

from pipelines.sources.base import SourceEnded, SourceUnavailable
from pipelines.sources.folder import FolderSource, _FolderConsumer
from pipelines.sources.kafka import Offsets
from pipelines.sources.receive import to_row
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


def settle(consumer, messages):
    consumer.settle([message.receipt for message in messages])


def done(tmp_path):
    return {path.name: path.read_text() for path in (tmp_path / "done").iterdir()}


def test_two_files_of_one_name_are_both_read_and_both_kept(consumer, tmp_path):
    for text in ("1\n", "2\n", "3\n"):
        (tmp_path / "a.jsonl").write_text(text)
        messages = taken(consumer, looks=3)
        assert [m.text for m in messages] == [text.strip()]
        settle(consumer, messages)  # and the next one comes before the folder is looked at again
    assert done(tmp_path) == {"a.jsonl": "1\n", "a.2.jsonl": "2\n", "a.3.jsonl": "3\n"}


def test_a_file_that_replaces_one_in_flight_is_read_too(consumer, tmp_path):
    (tmp_path / "a.jsonl").write_text("1\n")
    messages = taken(consumer)
    (tmp_path / "new").write_text("2\n")
    (tmp_path / "new").rename(tmp_path / "a.jsonl")
    assert taken(consumer) == []
    settle(consumer, messages)
    assert done(tmp_path) == {}
    (message,) = taken(consumer)
    assert message.text == "2"


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        ("1\n", "1\n2\n", ["1", "2"]),
        ("1", "1\n2\n", ["1", "2"]),
        ('{"a', '{"a": 1}\n', ['{"a', '{"a": 1}']),
        ("1\n", "1\n2", ["1", "2"]),
        ("", "1\n", ["1"]),
    ],
)
def test_lines_that_are_added_after_a_file_was_read_are_read_too(
    consumer, tmp_path, before, after, texts
):
    path = tmp_path / "a.jsonl"
    path.write_text("x\n" + before)
    messages = taken(consumer)
    path.write_text("x\n" + after)
    settle(consumer, messages)
    assert done(tmp_path) == {}
    more = taken(consumer)
    assert [m.text for m in messages + more] == ["x", *texts]
    ids = {m.text: m.id for m in messages + more}
    assert ids[texts[-1]] == f"a.jsonl:{1 + after.split(chr(10)).index(texts[-1]) + 1}"
    settle(consumer, more)
    assert done(tmp_path) == {"a.jsonl": "x\n" + after}


def test_a_file_that_is_deleted_before_or_while_it_is_read_does_not_end_the_job(
    consumer, tmp_path, caplog
):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text("1\n2\n")
    assert consumer.poll(0.01) is None
    first = consumer.poll(0.01)
    for name in "ab":
        (tmp_path / f"{name}.jsonl").unlink()
    messages = [first, *taken(consumer)]
    assert [m.id for m in messages] == ["a.jsonl:1", "a.jsonl:2"]
    assert "b.jsonl further, leaving it: No such file" in caplog.text
    settle(consumer, messages)
    (tmp_path / "b.jsonl").write_text("3\n")
    assert [m.text for m in taken(consumer)] == ["3"]


def test_a_folder_that_disappears_is_waited_for(consumer, tmp_path, caplog):
    (tmp_path / "a.jsonl").write_text("1\n")
    messages = taken(consumer)
    shutil.rmtree(tmp_path)
    assert taken(consumer) == []
    settle(consumer, messages)
    assert "waiting for it: No such file" in caplog.text
    tmp_path.mkdir()
    (tmp_path / "b.jsonl").write_text("2\n")
    messages = taken(consumer)
    assert [m.text for m in messages] == ["2"]
    settle(consumer, messages)
    assert done(tmp_path) == {"b.jsonl": "2\n"}


def test_links_pipes_and_hidden_files_are_not_read(consumer, tmp_path, caplog):
    secret = tmp_path / "secret"
    secret.write_text("password\n")
    (tmp_path / "link.jsonl").symlink_to(secret)
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    (tmp_path / ".a.jsonl").write_text("1\n")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert taken(consumer) == []
    assert caplog.text.count("link.jsonl is a link, and is not read") == 1


def test_a_file_that_becomes_a_link_is_not_read(consumer, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("1\n")
    assert consumer.poll(0) is None
    assert consumer._scan(0.01)
    (tmp_path / "secret").write_text("password\n")
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    assert taken(consumer) == []


def test_a_message_that_is_not_utf_8_is_a_dead_letter(consumer, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n')
    (message,) = taken(consumer)
    typed = StdinConsumer(io.BytesIO(b"caf\xe9\n")).poll(5)
    for each, at in ((message, 16), (typed, 4)):
        letter = to_row(each, 1_000)
        assert f"a row must be UTF-8, got 0xe9 at byte {at}" in letter.message
        assert "\ufffd" not in letter.input


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
