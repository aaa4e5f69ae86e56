"""The journal that a flag names."""

from __future__ import annotations

import gc
import pickle

import pytest
from journals import keep, key, value

from transforms.journal import (
    JournalError,
    JournalInUse,
    NewJournal,
    open_journal,
)
from transforms.journal.spec import resolved


@pytest.mark.parametrize(
    ("spec", "output", "meaning"),
    [
        ("none", "out", "none"),
        ("auto", "/data/out/", "sqlite:/data/out/journal.sqlite"),
        ("auto", "file:///data/out", "sqlite:/data/out/journal.sqlite"),
        ("auto", "gs://bucket/out/", "gs://bucket/out/journal"),
        ("sqlite:/tmp/j.db", "gs://bucket/out", "sqlite:/tmp/j.db"),
        ("redis://host/1?prefix=p", "out", "redis://host/1?prefix=p"),
        ("gs://bucket/journal/", "out", "gs://bucket/journal"),
        ("/data/journal", "out", "/data/journal"),
    ],
)
def test_a_flag_names_a_journal(spec, output, meaning):
    assert resolved(spec, output) == meaning


def test_relative_paths_start_at_the_folder_of_the_launch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolved("auto", "out") == f"sqlite:{tmp_path}/out/journal.sqlite"
    assert resolved("sqlite:j.db", "out") == f"sqlite:{tmp_path}/j.db"
    assert resolved("./journal", "out") == f"{tmp_path}/journal"


@pytest.mark.parametrize("spec", ["", "sqllite", "sqlite:", "sqlite:gs://bucket/j", "journal"])
def test_an_unknown_journal_is_refused(spec):
    with pytest.raises(JournalError, match="sqlite:PATH"):
        resolved(spec, "out")


def test_none_means_no_journal(tmp_path):
    assert open_journal("none", str(tmp_path), required=True) is None
    assert NewJournal("none", str(tmp_path))() is None


def test_a_worker_opens_the_journal_of_its_run_once(tmp_path):
    new_journal = NewJournal("auto", str(tmp_path), required=True)
    on_the_worker = pickle.loads(pickle.dumps(new_journal))
    journal = on_the_worker()
    assert journal is new_journal()
    keep(journal, (key(), value()))
    with pytest.raises(JournalInUse):
        open_journal("auto", str(tmp_path), required=False, run="another run")
    del journal
    gc.collect()
    later = open_journal("auto", str(tmp_path), required=False, run="another run")
    assert later.lookup(key()) == value()
    later.close()


@pytest.mark.parametrize(
    "where",
    [
        "u:hunter2@127.0.0.1:1/0",
        ":hunter2@h",
        "h/0?password=hunter2",
        "u:hunter2/x@h",
        "u:x#hunter2@h",
        "u:hunter2?x@h",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(where):
    with pytest.raises(JournalError, match="password_env=NAME") as caught:
        NewJournal(f"redis://{where}", "out")
    assert "hunter2" not in str(caught.value)


def test_a_user_name_without_a_password_is_accepted():
    assert resolved("redis://user@h/0?password_env=P", "o") == "redis://user@h/0?password_env=P"
