"""A key in Google's Secret Manager: named in the job, read where the client is made."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType, SimpleNamespace

import apache_beam as beam
import pytest

from ritellm.errors import AuthenticationError
from transforms import CompletePrompts, NewClient, Prompt, StreamCompletions
from transforms.clients import key_in_secret

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


def test_the_key_is_in_no_job(secret_manager):
    new_client = NewClient(api_key_secret=VERSION)
    new_client()
    assert KEY.encode() not in pickle.dumps(new_client)
    assert VERSION.encode() in pickle.dumps(new_client)
    data = beam.transforms.display.DisplayData.create_from(
        StreamCompletions("openai/m", api_key_secret=VERSION)
    )
    assert KEY not in str(data.items)


def test_a_version_that_is_not_there_is_one_sentence(secret_manager):
    missing = VERSION.replace("3", "4")
    with pytest.raises(AuthenticationError) as caught:
        key_in_secret(missing)
    assert str(caught.value) == f"cannot read {missing}: 404 Secret Version [{missing}] not found."


def test_an_empty_secret_is_no_key(secret_manager):
    secret_manager.secrets[VERSION] = b"\n"
    with pytest.raises(AuthenticationError, match="is empty"):
        key_in_secret(VERSION)


def test_a_secret_that_is_no_text_is_no_key(secret_manager):
    secret_manager.secrets[VERSION] = b"\xff\xfe"
    with pytest.raises(AuthenticationError, match="not a text"):
        key_in_secret(VERSION)


def test_without_googles_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager", None)
    with pytest.raises(AuthenticationError, match=r"pip install 'apache-beam\[gcp\]'"):
        key_in_secret(VERSION)


@pytest.mark.parametrize("wrong", ["sk-a-key", "projects/p/secrets/s", "projects/p/secrets//v/1"])
def test_a_key_in_the_place_of_its_name_is_refused_and_not_repeated(wrong, capsys):
    from pipelines.batch_complete import main

    with pytest.raises(SystemExit) as exited:
        main(["--input", "x", "--output", "y", "--api_key_secret", wrong])
    err = capsys.readouterr().err
    assert exited.value.code == 2
    assert "write projects/P/secrets/S/versions/V" in err
    assert wrong not in err


def test_one_key_is_enough(capsys):
    from pipelines.batch_complete import main

    argv = ["--input", "x", "--output", "y", "--api_key_secret", VERSION, "--api_key_env", "KEY"]
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
