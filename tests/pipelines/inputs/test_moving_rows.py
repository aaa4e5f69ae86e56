"""Rows without an id keep their answers when lines and files move: only what is new is asked."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter

import orjson
import pytest
from batch_job import Job
from fake_server import api_error, echo
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inputs import numbering, prompts
from pipelines.inputs.rows import Line
from pipelines.inputs.rows import read as read_row
from transforms import Prompt
from transforms.journal import request_hash
from transforms.worker.recorded.entries import key_of

# Few different rows, so that many are equal; 1 and 1.0 are the same to a provider.
ROWS = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["a", "b"])},
    optional={
        "max_tokens": st.sampled_from([1, 1.0, 2]),
        "topic": st.integers(0, 2),
        "id": st.sampled_from(["x", "y"]),
    },
)
FILES = st.dictionaries(st.sampled_from(["a.jsonl", "b.jsonl.gz"]), st.lists(ROWS, max_size=6))


def lines_of(files):
    for name in sorted(files):
        for number, row in enumerate(files[name], 1):
            yield Line(f"data/{name}", name, number, orjson.dumps(row).decode())


def in_one_process(files):
    first = prompts._FirstOfEachIdFn()
    first.setup()
    for line in lines_of(files):
        yield from first.process((line, read_row(line, by_content=True).row))


def over_many_workers(files):
    """Do what the shuffle does, in an arbitrary order."""
    yield from shuffled(reversed([*lines_of(files)]))


def shuffled(lines):
    """Return the rows of `lines`, as the groups of the shuffle make them."""
    keyed = [numbering._keyed((line, read_row(line, by_content=True).row)) for line in lines]
    unnumbered = []
    for id, group in grouped(keyed):
        for found in numbering._first(id, group):
            if isinstance(found, numbering.Verdict):
                yield numbering.to_row(found)
            else:
                unnumbered.append(found.value)
    for content, group in grouped(unnumbered):
        yield from map(numbering.to_row, numbering._numbered(content, group))


def grouped(keyed):
    groups = {}
    for key, value in keyed:
        groups.setdefault(key, []).append(value)
    return groups.items()


def keys(rows):
    """Return where the journal keeps the answers to `rows`, each with what is asked."""
    prompts = [row for row in rows if isinstance(row, Prompt)]
    body = {prompt: orjson.loads(prompt.request) for prompt in prompts}
    found = {
        key_of("m", None, {"max_tokens": 2}, prompt.key or prompt.id, body[prompt]): prompt
        for prompt in prompts
    }
    assert len(found) == len(prompts), "no two rows share an answer"
    return found


def asks(prompt):
    """What makes a row the same as another one, in another run."""
    own, body = orjson.loads(prompt.input).get("id"), orjson.loads(prompt.request)
    return own, request_hash("m", None, {"max_tokens": 2} if own else {}, body)


@pytest.mark.parametrize("numbered", [in_one_process, over_many_workers])
@given(before=FILES, after=FILES)
def test_after_any_edit_a_run_sends_only_the_new_rows(numbered, before, after):
    first, second = keys(numbered(before)), keys(numbered(after))
    had, wanted = Counter(map(asks, first.values())), Counter(map(asks, second.values()))
    asked = Counter(asks(prompt) for key, prompt in second.items() if key not in first)
    assert asked == wanted - had


@given(files=FILES, data=st.data())
def test_moved_split_and_renamed_rows_are_not_sent_again(files, data):
    rows = [
        {name: value for name, value in row.items() if name != "id"}
        for row in itertools.chain.from_iterable(files.values())
    ]
    mixed = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    moved = {"new.jsonl": mixed[:cut], "newer.jsonl.gz": mixed[cut:]}
    assert keys(in_one_process({"old": rows})).keys() == keys(over_many_workers(moved)).keys()


@given(files=FILES)
def test_many_workers_name_the_rows_as_one_process_does(files):
    alone, together = list(in_one_process(files)), list(over_many_workers(files))
    assert Counter(row.id for row in alone) == Counter(row.id for row in together)


def test_equal_rows_of_a_table_without_ids_are_all_sent_with_different_ids():
    lines = [
        Line("bigquery:t", f"t:{digest}", 0, text)
        for digest, text in [("1", '{"prompt":"x"}')] * 3 + [("2", '{"prompt":"x","topic":1}')]
    ]
    prompts = list(shuffled(lines))
    assert [prompt.id for prompt in prompts] == ["t:1", "t:1:2", "t:1:3", "t:2:4"]
    assert len(keys(prompts)) == 4


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    return Job(fake_server, tmp_path, capsys)


def asked(job):
    """Return what was asked since the last call."""
    contents = [request.json["messages"][0]["content"] for request in job.server.requests]
    job.server.requests.clear()
    return sorted(contents)


MANY = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


@pytest.mark.parametrize("flags", [[], ["--keep_order"], MANY], ids=["one", "in order", "many"])
def test_an_inserted_line_and_a_compressed_file_pay_for_the_new_line_only(job, flags):
    job.write({"prompt": "a"}, {"prompt": "same"}, {"prompt": "same"})
    assert job.run(*flags) == 0
    assert asked(job) == ["a", "same", "same"]
    lines = [{"prompt": "new"}, {"prompt": "same"}, {"prompt": "a", "topic": "x"}]
    lines += [{"prompt": "same"}, {"prompt": "same"}]
    text = b"\n".join(map(orjson.dumps, lines))
    (job.folder / "in.jsonl").unlink()
    (job.folder / "renamed.jsonl.gz").write_bytes(gzip.compress(text))
    assert job.run(*flags, "--overwrite", input="renamed*") == 0
    assert asked(job) == ["new", "same"]
    rows = job.rows("completions")
    assert {id: (row["text"], row["input"]) for id, row in rows.items()} == {
        f"renamed.jsonl.gz:{number}": (line["prompt"], line) for number, line in enumerate(lines, 1)
    }
    assert job.report["replayed"] == 3


def test_the_journal_has_failed_rows_that_another_job_completed(job):
    journal = f"--journal=sqlite:{job.folder}/j.sqlite"
    job.server.script = lambda request: (
        api_error(400) if "bad" in request.json["messages"][0]["content"] else echo(request)
    )
    job.write({"prompt": "fine"}, {"prompt": "bad"})
    assert job.run(journal) == 0
    job.server.script = echo
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    assert again.run(journal, input="out/failed-*.jsonl") == 0
    assert again.rows("completions").keys() == {"in.jsonl:2"}
    asked(job)
    assert job.run(journal) == 0
    assert asked(job) == []


@pytest.mark.parametrize("flag", ["--direct_runner_bundle_repeat=2", "--emit_deltas"])
def test_retried_bundles_and_deltas_number_rows_as_before(job, flag):
    job.write(*[{"prompt": "same"}] * 3)
    assert job.run(flag) == 0
    assert asked(job) == ["same"] * 3
    job.write(*[{"prompt": "same"}] * 4)
    assert job.run(flag) == 0
    assert asked(job) == ["same"]


def test_columns_that_look_like_parameters_are_reported_once(job, caplog):
    job.write(*[{"prompt": "x", "temprature": 1, "topic": "t"}] * 3, {"prompt": "y", "model": "m"})
    assert job.run() == 0
    assert job.report["unused_columns"] == {
        "model": "the job chooses the model (--model)",
        "temprature": "did you mean temperature?",
    }
    said = [record.message for record in caplog.records if "temprature" in record.message]
    assert said == [
        "column 'temprature' is not sent to the model and is copied to 'input': did you mean"
        " temperature?"
    ]
    assert "column 'temprature' was not sent: did you mean temperature?" in job.printed.out


def test_parameters_of_a_row_are_sent(job):
    own = {"reasoning_effort": "low", "logprobs": True, "service_tier": "flex", "n": 1}
    own |= {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}
    job.write({"prompt": "x", **own, "extra_body": {"k": 1}})
    assert job.run() == 0
    sent = job.server.requests[0].json
    assert {name: sent.get(name) for name in (*own, "k")} == {**own, "k": 1}
