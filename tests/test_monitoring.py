"""The dashboard and the alerts show metrics that the code counts, and all of them."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import apache_beam as beam
import pytest
from fake_server import Pause, api_error, chat_events, stream

from transforms import CompletePrompts, Prompt
from transforms.journal import NewJournal

FOLDER = Path(__file__).resolve().parents[1] / "templates" / "monitoring"
FILES = sorted(FOLDER.glob("*.json"))
REQUEST = '{"messages": [{"role": "user", "content": "one two three four"}]}'
# What Dataflow makes of a distribution.
SUFFIXES = ("COUNT", "MAX", "MEAN", "MIN")


def queries(node):
    """Yield every query in a JSON value."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("prometheusQuery", "query") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


def shown(files=FILES):
    """Return the names of metrics in `files`; those with a kind end in a colon."""
    text = "\n".join(query for file in files for query in queries(json.loads(file.read_text())))
    names = re.findall(r'metric_name="([^"]+)"', text)
    kinds = re.findall(r'metric_name=~"([\w]+:)\.\+"', text)
    assert len(names) + len(kinds) == text.count("metric_name=")
    return {*names, *kinds}


@pytest.fixture
def counted(fake_server, tmp_path):
    """What a job counts that meets all there is: (counters, distributions)."""
    pieces = [step for event in chat_events(["one", "two"]) for step in (event, Pause(0.01))]
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}
    wait = api_error(429, headers=used_up)
    fake_server.enqueue(api_error(500), wait, stream(*pieces))
    counters, distributions = set(), set()
    for rows in (["a"], ["a", "b"]):
        p = beam.Pipeline(runner="FnApiRunner")
        prompts = p | beam.Create([Prompt(id, REQUEST) for id in rows], reshuffle=False)
        journal = NewJournal(f"sqlite:{tmp_path}/journal", str(tmp_path), False)
        prompts | CompletePrompts(
            "openai/m",
            base_url=fake_server.base_url,
            journal=journal,
            emit_deltas=True,
            max_in_flight=1,
        )
        result = p.run()
        result.wait_until_finish()
        found = result.metrics().query()
        counters |= {m.key.metric.name for m in found["counters"]}
        distributions |= {m.key.metric.name for m in found["distributions"]}
        fake_server.enqueue(api_error(400))
    return counters, distributions


def test_what_is_shown_is_counted_and_what_is_counted_is_shown(counted):
    counters, distributions = counted
    ours = {re.sub(r":.*", ":", name) for name in counters if "/" not in name}
    exported = ours | {f"{name}_{suffix}" for name in distributions for suffix in SUFFIXES}
    assert shown() <= exported
    on_dashboard = shown([FOLDER / "dashboard.json"])
    assert ours <= on_dashboard
    for name in distributions:
        assert ":" in name or f"{name}_MEAN" in on_dashboard  # those of one model are not


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_query_is_promql(file):
    parser = pytest.importorskip("promql_parser", reason="promql-parser is not installed")
    for query in queries(json.loads(file.read_text())):
        parser.parse(query)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_what_googles_api_takes(file):
    dashboard = file.stem == "dashboard"
    module = f"google.cloud.monitoring{'_dashboard_v1' if dashboard else '_v3'}"
    pytest.importorskip(module, reason="Google's clients of Monitoring are not installed")
    message = getattr(import_module(module), "Dashboard" if dashboard else "AlertPolicy")
    message.from_json(file.read_text())


def test_an_alert_says_what_to_do():
    alerts = [json.loads(file.read_text()) for file in FILES if file.stem.startswith("alert-")]
    assert len(alerts) == 5
    for alert in alerts:
        assert alert["documentation"]["content"].endswith(".")
        assert [alert["displayName"]] == [each["displayName"] for each in alert["conditions"]]


def test_tiles_do_not_overlap():
    layout = json.loads((FOLDER / "dashboard.json").read_text())["mosaicLayout"]
    places = [(tile.get("xPos", 0), tile.get("yPos", 0)) for tile in layout["tiles"]]
    assert len(set(places)) == len(places)
    assert all(tile.get("xPos", 0) + tile["width"] <= 12 for tile in layout["tiles"])
