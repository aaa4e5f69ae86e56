"""A job tells only its own user where its page is."""

from __future__ import annotations

import os

import pytest

from pipelines.watch import address

URL = "http://127.0.0.1:1234/token/"


def test_the_address_is_there_while_the_job_runs_and_readable_for_its_user_only(tmp_path):
    with address.written(str(tmp_path), URL):
        assert address.find(str(tmp_path)) == URL
        assert os.stat(tmp_path / address.ADDRESS).st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_another_job_stays(tmp_path):
    path = str(tmp_path)
    with address.written(path, URL), address.written(path, "http://127.0.0.1:5/x/"):
        pass
    assert address.find(path) is None
    with address.written(path, URL):
        (tmp_path / address.ADDRESS).write_text('{"url": "http://127.0.0.1:5/x/"}')
    assert address.find(path) == "http://127.0.0.1:5/x/"


def test_a_link_of_that_name_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / address.ADDRESS).symlink_to(tmp_path / "mine")
    with address.written(str(tmp_path), URL):
        assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"url": 3}', '{"url": "http://evil.example/"}', "\x00"]
)
def test_an_odd_file_is_no_address(tmp_path, text):
    (tmp_path / address.ADDRESS).write_text(text)
    assert address.find(str(tmp_path)) is None


def test_a_folder_that_cannot_be_written_does_not_end_the_job(tmp_path):
    with address.written(str(tmp_path / "missing"), URL):
        pass
