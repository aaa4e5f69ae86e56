"""A key is named in the job and read on the worker; no output and no job graph has it."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import sqlite3
import sys
import traceback
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace

import apache_beam as beam
import orjson
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from fake_server import FakeServer, api_error, chat_events, echo, error_event, raw, stream
from redis_server import running

from pipelines import batch_complete, batch_job
from ritellm.errors import AuthenticationError
from transforms import CompletePrompts, NewClient, Prompt
from transforms.elements import DeadLetter
from transforms.journal.base import unpack
from transforms.journal.folder.format import lines_of
from transforms.worker.client.credentials import key_in_secret
from transforms.worker.client.renewing_client import Key

VERSION = "projects/p/secrets/openai/versions/3"
KEY = "sk-planted-in-secret-manager"


@pytest.fixture
def secret_manager(monkeypatch):
    """A Secret Manager: `secrets` by name of version, and what was `asked`."""
    manager = SimpleNamespace(secrets={VERSION: KEY.encode() + b"\n"}, asked=[])

    class Client:
        def access_secret_version(self, request):
            manager.asked.append(request["name"])
            if request["name"] not in manager.secrets:
                raise LookupError(f"404 Secret Version [{request['name']}]\nnot found.")
            data = manager.secrets[request["name"]]
            return SimpleNamespace(payload=SimpleNamespace(data=data))

    module = ModuleType("google.cloud.secretmanager")
    module.SecretManagerServiceClient = Client
    cloud = sys.modules.get("google.cloud") or ModuleType("google.cloud")
    monkeypatch.setattr(cloud, "secretmanager", module, raising=False)
    monkeypatch.setitem(sys.modules, "google.cloud", cloud)
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager", module)
    return manager


# The ways to pass a key: arguments of a command line and of a transform.
WAYS = {"api_key_env": "PLANTED_KEY", "api_key_secret": VERSION, "api_key_file": "planted.key"}


@pytest.fixture(params=WAYS)
def way(request, secret_manager, monkeypatch, tmp_path_factory):
    """A way to pass KEY, by name, and its arguments."""
    monkeypatch.setenv("PLANTED_KEY", KEY)
    if request.param == "api_key_file":
        file = tmp_path_factory.mktemp("keys") / WAYS[request.param]
        file.write_text(KEY)
        return request.param, str(file)
    return request.param, WAYS[request.param]


@pytest.fixture(params=["sqlite", "folder", "redis"])
def journal(request, tmp_path):
    """The value of --journal, and a function that returns all records, unpacked."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/j.sqlite", lambda: _of_sqlite(tmp_path / "j.sqlite")
    elif request.param == "folder":
        yield f"{tmp_path}/j", lambda: _of_folder(tmp_path / "j")
    else:
        with running() as server:
            yield server.url, lambda: _of_redis(server.url)


def _of_sqlite(path):
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT id, value FROM completions").fetchall()
    return path.read_bytes() + b"".join(id.encode() + unpack(value) for id, value in rows)


def _of_folder(folder):
    return b"".join(b"".join(lines_of(file.read_bytes())[0]) for file in folder.iterdir())


def _of_redis(url):
    with closing(pytest.importorskip("redis").Redis.from_url(url)) as client:
        hashes = [client.hgetall(key) for key in client.scan_iter() if b":spent" not in key]
    kept = b"".join(id + unpack(value) for each in hashes for id, value in each.items())
    return kept + b"".join(file.read_bytes() for file in Path(url[7:]).parent.rglob("*.aof"))


def leaky(request):
    """Respond as careless providers do: their errors repeat the key."""
    key = request.headers["authorization"].removeprefix("Bearer ")
    # An error that is not retried, so that the test is fast.
    bad = error_event("invalid_request_error", message=f"bad {key}")
    page = f"<html>{request.headers['authorization']}</html>".encode()
    return {
        "refused": api_error(401, message=f"Incorrect API key provided: {key}"),
        "inside": stream(*chat_events("half")[:2], bad),
        "page": raw(page, content_type="text/html"),
    }.get(request.json["messages"][0]["content"], stream(*chat_events("fine")))


def holds_key(data):
    text = data if isinstance(data, bytes) else str(data).encode()
    return any(form in text for form in (KEY.encode(), base64.b64encode(KEY.encode())[:-4]))


def argv_of(way, folder, server, *flags):
    rows = [{"id": name[0], "prompt": name} for name in ("ok", "refused", "inside", "page")]
    (folder / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    argv = ["--input", f"{folder}/in.jsonl", "--output", f"{folder}/out", "--emit_deltas"]
    argv += ["--model", "openai/m", "--base_url", server.base_url, f"--{way[0]}", way[1]]
    return [*argv, *flags]


def test_no_output_of_a_job_has_the_key(way, journal, fake_server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    fake_server.script = leaky
    spec, kept = journal
    with pytest.raises(SystemExit) as exited:
        batch_complete.main(argv_of(way, tmp_path, fake_server, "--journal", spec))
    assert exited.value.code == 0
    assert {r.headers["authorization"] for r in fake_server.requests} == {f"Bearer {KEY}"}
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    written = b"".join(file.read_bytes() for file in files)
    said = capfd.readouterr()
    assert b"Incorrect API key provided: [key]" in written
    assert {file.name.partition("-")[0] for file in files} >= {"report.json", "failed", "deltas"}
    assert b"fine" in kept()
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    for place in (written, kept(), caplog.text, said.out, said.err):
        assert not holds_key(place)


def test_no_form_of_a_pipeline_has_the_key(way, fake_server, tmp_path):
    ours = batch_complete.parser().parse_args(
        argv_of(way, tmp_path, fake_server, "--max_in_flight=8")
    )
    p = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    batch_job.build(p, ours, spread=True)
    transform = CompletePrompts("openai/m", **dict([way]))
    transform._new_resources.new_client()  # has read the key by now
    proto = p.to_runner_api().SerializeToString()
    assert way[1].encode() in pickle.dumps(transform._new_resources)
    shown = beam.transforms.display.DisplayData.create_from(transform).items
    result = p.run()
    result.wait_until_finish()
    metrics = result.metrics().query()
    assert metrics["counters"]
    pickled = pickler.dumps(transform), pickle.dumps(transform._new_resources)
    for form in (proto, *pickled, [item.get_dict() for item in shown], metrics, repr(transform)):
        assert not holds_key(form)


@pytest.mark.parametrize("asked", ["refused", "inside", "page", "ok"])
def test_no_error_and_no_recorded_wire_has_the_key(way, fake_server, tmp_path, asked):
    fake_server.script = leaky
    wire = tmp_path / "wire.jsonl"

    async def ask():
        client = NewClient(base_url=fake_server.base_url, **dict([way]))()
        try:
            messages = [{"role": "user", "content": asked}]
            options = {"stream": True, "record": str(wire), "num_retries": 0}
            async with await client.completion("openai/m", messages, **options) as stream:
                return [chunk async for chunk in stream]
        finally:
            await client.close()

    try:
        forms = [asyncio.run(ask())]
    except Exception as error:
        forms = [repr(error), pickle.dumps(error), "".join(traceback.format_exception(error))]
    assert isinstance(forms[0], list) == (asked == "ok")
    assert wire.stat().st_size
    for form in (*forms, wire.read_bytes()):
        assert not holds_key(form)


def test_the_key_is_read_on_the_worker_and_sent(secret_manager, fake_server):
    transform = CompletePrompts(
        "openai/m", base_url=fake_server.base_url, api_key_secret=VERSION, emit_deltas=True
    )
    assert secret_manager.asked == []
    with beam.Pipeline(runner="FnApiRunner") as p:
        request = '{"messages": [{"role": "user", "content": "x"}]}'
        p | beam.Create([Prompt("a", request)]).with_output_types(Prompt) | transform
        assert secret_manager.asked == []
    assert set(secret_manager.asked) == {VERSION}
    assert fake_server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_missing_version_is_an_error_of_one_sentence(secret_manager):
    missing = VERSION.replace("3", "4")
    with pytest.raises(AuthenticationError) as caught:
        key_in_secret(missing)
    assert str(caught.value) == f"cannot read {missing}: 404 Secret Version [{missing}] not found."


def test_a_local_job_reads_its_key_before_it_sends_a_request(
    secret_manager, fake_server, tmp_path, capsys
):
    from pipelines.batch_complete import main

    (tmp_path / "in.jsonl").write_text('{"prompt": "x"}\n')
    missing = VERSION.replace("3", "4")
    argv = [f"--input={tmp_path}/in.jsonl", f"--output={tmp_path}/out", "--model=openai/m"]
    argv += [f"--base_url={fake_server.base_url}", f"--api_key_secret={missing}"]
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    assert f"cannot read {missing}: 404" in capsys.readouterr().err
    assert not fake_server.requests


def test_an_empty_secret_is_refused(secret_manager):
    secret_manager.secrets[VERSION] = b"\n"
    with pytest.raises(AuthenticationError, match="is empty"):
        key_in_secret(VERSION)


def test_a_secret_that_is_not_text_is_refused(secret_manager):
    secret_manager.secrets[VERSION] = b"\xff\xfe"
    with pytest.raises(AuthenticationError, match="not a text"):
        key_in_secret(VERSION)


def test_without_googles_client_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager", None)
    with pytest.raises(AuthenticationError, match=r"pip install 'apache-beam\[gcp\]'"):
        key_in_secret(VERSION)


@pytest.mark.parametrize("wrong", ["sk-a-key", "projects/p/secrets/s", "projects/p/secrets//v/1"])
def test_a_key_instead_of_its_name_is_refused_and_not_repeated(wrong, capsys):
    from pipelines.batch_complete import main

    with pytest.raises(SystemExit) as exited:
        main(["--input", "x", "--output", "y", "--api_key_secret", wrong])
    err = capsys.readouterr().err
    assert exited.value.code == 2
    assert "must be projects/P/secrets/S/versions/V" in err
    assert wrong not in err


def test_two_sources_of_a_key_are_refused(capsys):
    from pipelines.batch_complete import main

    argv = ["--input", "x", "--output", "y", "--api_key_secret", VERSION, "--api_key_env", "KEY"]
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


# --- Rotation ------------------------------------------------------------------------------------

LATEST = "projects/p/secrets/openai/versions/latest"
REQUEST = '{"messages": [{"role": "user", "content": "x"}]}'


def bearer(request):
    return request.headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def rotated(secret_manager):
    """A provider that takes the new key only; `rotated.secrets` still has the old one."""
    secret_manager.secrets[LATEST] = b"sk-old"

    def provider(request):
        secret_manager.secrets[LATEST] = secret_manager.next
        return echo(request) if bearer(request) == "sk-new" else api_error(401)

    secret_manager.next = b"sk-new"
    with FakeServer(provider) as server:
        secret_manager.server = server
        yield secret_manager


SEEN = []


def note(row):
    SEEN.append(row)


def ask(manager, rows=1, **options):
    """Return (completions, dead letters) of a job whose workers read the key `LATEST`."""
    SEEN.clear()
    with beam.Pipeline(runner="FnApiRunner") as p:
        done = (
            p
            | beam.Create([Prompt(str(n), REQUEST) for n in range(rows)], reshuffle=False)
            | CompletePrompts(
                "openai/m", base_url=manager.server.base_url, api_key_secret=LATEST, **options
            )
        )
        done.completions | "Completed" >> beam.Map(note)
        done.dead_letters | "Failed" >> beam.Map(note)
    dead = [row for row in SEEN if isinstance(row, DeadLetter)]
    return [row for row in SEEN if row not in dead], dead


def test_a_rotated_key_is_read_again_and_the_request_sent_again(rotated):
    completions, dead = ask(rotated)
    assert [row.text for row in completions] == ["x"]
    assert not dead
    assert rotated.asked == [LATEST, LATEST]
    assert [bearer(request) for request in rotated.server.requests] == ["sk-old", "sk-new"]


@pytest.mark.parametrize("options", [{}, {"hedge_after": 60}], ids=["plain", "hedged"])
def test_all_rows_during_a_rotation_share_one_read(rotated, options):
    completions, dead = ask(rotated, rows=40, **options)
    assert (len(completions), len(dead)) == (40, 0)
    assert rotated.asked == [LATEST, LATEST]


def test_a_refused_key_that_has_not_changed_is_named_in_the_dead_letters(rotated):
    rotated.next = b"sk-old"
    _, dead = ask(rotated, rows=20)
    assert {letter.error_type for letter in dead} == {"AuthenticationError"}
    assert all(
        letter.message.endswith(f"; the key in {LATEST} is still the one that was refused")
        for letter in dead
    )
    assert len(rotated.server.requests) == 20
    assert rotated.asked == [LATEST, LATEST]
    assert "sk-old" not in str(dead)


def test_a_failure_to_read_the_secret_is_added_to_the_refusal(rotated):
    rotated.next = b""
    _, [letter] = ask(rotated)
    assert letter.message.endswith(f"; and {LATEST} is empty")
    assert letter.status_code == 401


def test_no_output_has_the_new_key(rotated):
    rotated.next = b"sk-other"
    _, [letter] = ask(rotated)
    assert letter.status_code == 401
    assert [bearer(request) for request in rotated.server.requests] == ["sk-old", "sk-other"]
    assert "sk-other" not in str(letter)


def test_a_key_is_read_again_once_in_a_pause():
    keys, clock = iter(["a", "a", "b"]), [0.0]
    key = Key(lambda: next(keys), pause=30, now=lambda: clock[0])

    async def times(*moments):
        found = []
        for clock[0] in moments:
            found.append(await key.other_than("a"))
        return found

    assert asyncio.run(times(1, 2, 30, 31, 32)) == [None, None, None, "b", "b"]


def test_without_a_named_key_the_client_is_a_plain_one():
    from ritellm import AsyncClient

    assert type(NewClient()()) is AsyncClient
