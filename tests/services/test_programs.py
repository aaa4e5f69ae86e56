"""`stream_complete` between real servers: who dies, who goes on, and where the rest goes."""

from __future__ import annotations

import orjson
import pytest
from fake_server import Stall, chat_events, stream
from programs import until
from prompts import answers, prompts, whole

from ritellm import Finished, follow


@pytest.mark.parametrize("deltas", ["kafka"], indirect=True)
def test_what_a_program_that_died_had_not_finished_is_answered_by_the_next(
    source, deltas, job, fake_server, tmp_path
):
    stuck = {"3", "7"}

    def script(request):
        text = request.json["messages"][-1]["content"]
        events = chat_events(text)
        return stream(*events[:2], Stall()) if text.split()[-1] in stuck else stream(*events)

    fake_server.script = script
    settings = tmp_path / "kafka.properties"
    settings.write_text("# who died is missed soon\nsession.timeout.ms=6000\n")
    flags = [f"--source={source.source}", f"--deltas_to={deltas.spec}"]
    flags += [f"--kafka_config={settings}"]
    with job(*flags) as first:
        source.send(*prompts(10))
        until(lambda: len(whole(deltas)) == 8)
        first.kill()
    stuck.clear()
    with job(*flags) as second:
        until(lambda: whole(deltas) == answers(10))  # which looks at the keys of all deltas, too
        assert second.stop() == 0
    assert len(fake_server.requests) == 12
    assert source.settled() == 10


def test_each_id_has_a_stream_of_its_own_in_redis_where_nothing_is_twice(
    redis_server, job, name, tmp_path
):
    redis = pytest.importorskip("redis")
    url = f"{redis_server.url}?key={name}&per_id=true"
    flags = [f"--source=dir:{tmp_path / 'in'}", f"--deltas_to={url}", f"--completions_to={url}"]
    (tmp_path / "in").mkdir()
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        for _ in range(2):
            (tmp_path / "in" / "rows.jsonl").write_bytes(b"\n".join([*prompts(5), b"nonsense"]))
            with job(*flags) as program:
                until(lambda: not list((tmp_path / "in").glob("*.jsonl")))
                assert program.stop() == 0
            entries = client.xrange(f"{name}:deltas:p3")
            assert [number for number, _ in entries] == sorted(
                (number for number, _ in entries),
                key=lambda number: [int(part) for part in number.split("-")],
            )
            told = list(follow(entry for _, entry in entries))
            assert told[-1].text == answers(5)["p3"]
            assert isinstance(told[-1], Finished)
        assert 0 < client.ttl(f"{name}:deltas:p3") <= 3600
        completions = [orjson.loads(e["json"]) for _, e in client.xrange(f"{name}:completions")]
        assert {row["id"]: row["text"] for row in completions} == answers(5)
        (failed, _) = [orjson.loads(e["json"]) for _, e in client.xrange(f"{name}:failed")]
        assert "line 6" in failed["message"]


@pytest.mark.parametrize(("source", "deltas"), [("pubsub", "pubsub")], indirect=True)
def test_a_job_that_runs_elsewhere_reads_by_beams_own_source(source, deltas, job, tmp_path):
    # Elsewhere is a process of its own here, with the one local runner that can read Pub/Sub.
    program = tmp_path / "elsewhere.py"
    program.write_text(
        "import sys\n"
        "from pipelines import stream_complete\n"
        "from pipelines.runners import pipeline, runner\n"
        "runner.LOCAL_RUNNERS = pipeline.LOCAL_RUNNERS = frozenset()\n"
        "stream_complete.main(sys.argv[1:])\n"
    )
    flags = [f"--source={source.source}", f"--deltas_to={deltas.spec}"]
    with job(*flags, "--runner=BundleBasedDirectRunner", program=[str(program)]):
        source.send(*prompts(5), b"not json")
        until(lambda: whole(deltas) == answers(5) and deltas.received()["failed"])
