"""What the page of a job shows beyond its report: over time, samples, and the slowest rows."""

from __future__ import annotations

import pickle
import random

import orjson
import pytest
from outcomes import completion, failed

from pipelines.outputs.report import Totals
from pipelines.pages.data import page_data
from pipelines.pages.options import PageOptions

EVERYTHING = PageOptions(100, "all")


def data_of(*rows, options=EVERYTHING):
    totals = Totals(options)
    for row in rows:
        totals.add(row)
    return shown(totals, options)


def shown(totals, options=EVERYTHING):
    return page_data({"model": "m", **totals.as_dict()}, totals.details, text=options.text)


def test_rows_tokens_and_times_are_counted_when_a_row_ends():
    data = data_of(
        completion("a", ended_at=100.5, completion_tokens=7, ttft=0.2),
        completion("b", ended_at=100.9, completion_tokens=5, ttft=0.4, inter_chunk_p50=0.02),
        completion("c", ended_at=102.1, completion_tokens=1, ttft=None),
        failed("d", ended_at=102.9),
    )
    assert data["timeline"]["width"] == 1.0
    first, last = data["timeline"]["points"]
    assert (first["t"], first["completed"], first["failed"], first["tokens"]) == (100.0, 2, 0, 12)
    assert first["ttft"] == [pytest.approx(0.2, rel=0.01), pytest.approx(0.4, rel=0.01)]
    assert first["gap"] == [pytest.approx(0.02, rel=0.01), None]
    assert (last["t"], last["completed"], last["failed"], last["tokens"]) == (102.0, 1, 1, 1)


def test_rows_from_the_journal_have_no_time_of_this_run():
    data = data_of(completion("a", replayed=True, text="known"))
    assert data["timeline"]["points"] == []
    assert data["lengths"] == {"prompt": [], "completion": []}
    assert [(row["state"], row["answer"]) for row in data["rows"]] == [("journal", "known")]


def test_lengths_are_counted_by_powers_of_two_without_gaps():
    rows = [completion(str(n), prompt_tokens=0, completion_tokens=n) for n in (3, 2, 17)]
    assert data_of(*rows)["lengths"] == {
        "prompt": [[0, 0, 3]],
        "completion": [[2, 3, 2], [4, 7, 0], [8, 15, 0], [16, 31, 1]],
    }


def test_the_slowest_rows_come_first():
    seconds = random.Random(2).sample(range(1, 1_000), 100)
    slowest = data_of(*(completion(f"{s}", seconds=s) for s in seconds))["slowest"]
    assert [row["id"] for row in slowest] == [f"{s}" for s in sorted(seconds)[:-21:-1]]


def test_each_class_of_failures_has_some_samples():
    rows = [failed(f"{n}", error_type=f"E{n % 2}", message=f"no {n}") for n in range(40)]
    failures = data_of(*rows)["failures"]
    assert sorted(failures) == ["E0", "E1"]
    assert {len(samples) for samples in failures.values()} == {5}
    assert all(int(row["id"]) % 2 == 0 for row in failures["E0"])


def test_details_that_are_merged_in_any_order_are_the_same():
    def parts():
        for part in range(4):
            totals = Totals(PageOptions(30, "all"))
            for n in range(part * 50, part * 50 + 50):
                totals.add(completion(f"{n}", ended_at=100.0 + n, seconds=n / 7, ttft=n / 70))
                totals.add(failed(f"f{n}", error_type=f"E{n % 3}", ended_at=100.0 + 2 * n))
            yield pickle.loads(pickle.dumps(totals))

    def merged(order):
        found = list(parts())
        whole = Totals()
        for index in order:
            whole.merge(found[index])
        return shown(whole)

    forwards, backwards = merged([0, 1, 2, 3]), merged([2, 3, 1, 0])
    assert len(forwards["rows"]) == 30
    for one in (forwards, backwards):  # a mean of floats depends on the order, by its last digit
        one["report"]["cost_usd"] = one["report"]["tokens_per_second"] = None
        for point in one["timeline"]["points"]:
            point["cost"] = round(point["cost"], 6)
    assert forwards == backwards


def message(content, role="user"):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("input", "prompt"),
    [
        ({"prompt": "hello"}, "hello"),
        ({"messages": [message("hi")], "prompt": "no"}, "hi"),
        ({"body": {"messages": [message("be", "system"), message("x")]}}, "[system] be\n\nx"),
        ({"messages": [message([{"text": "see"}, {"type": "image_url"}])]}, "see\n[image_url]"),
        ({"review": "fine"}, '{"review":"fine"}'),
        ({"messages": "odd"}, '{"messages":"odd"}'),
    ],
)
def test_the_prompt_of_a_row_is_its_text_or_else_the_whole_row(input, prompt):
    assert data_of(completion("a", input=input))["rows"][0]["prompt"] == prompt


def test_a_page_without_texts_has_nothing_of_rows_and_answers():
    secret = "SECRET"
    data = data_of(
        completion(secret, secret, {"prompt": secret}, place="in.jsonl:1"),
        failed(secret, {"prompt": secret}, message=secret, partial_text=secret, request=secret),
        options=PageOptions(10, "none"),
    )
    assert secret not in orjson.dumps(data).decode()
    assert sorted(row["state"] for row in data["rows"]) == ["completed", "failed"]


def test_long_texts_are_cut_until_the_data_fits():
    rows = [completion(f"{n}", "\U0001f600" * 4_000, {"prompt": "<" * 2_000}) for n in range(1_000)]
    options = PageOptions(1_000, "sample")
    data = data_of(*rows, options=options)
    assert len(data["rows"]) == 1_000
    assert data["cut_at"] < 1_000
    assert all(row["answer"].endswith("…") for row in data["rows"])
    assert len(orjson.dumps(data)) < 5_000_000


def test_more_rows_than_wanted_are_sampled():
    data = data_of(*(completion(f"{n}") for n in range(50)), options=PageOptions(7, "sample"))
    assert len(data["rows"]) == 7
    assert data_of(completion("a"), options=PageOptions(0, "sample"))["rows"] == []
