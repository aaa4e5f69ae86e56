"""Runs a program where Google is not: no credentials to look for, and a Secret Manager of one.

    python without_google.py submit PROGRAM ARGUMENT...
    python without_google.py execute PIPELINE.PB

`submit` runs a program of ours. `execute` does what Dataflow would: it runs a staged pipeline, with
embedded Python in the place of the worker's image. A subscription it reads as the service does, but
to its end: what it finds there is one bundle, acknowledged when that is done. The secret is in
$FAKE_SECRET; without it, Secret Manager refuses.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
from apache_beam.internal.gcp import auth
from apache_beam.io.gcp import bigquery_tools, pubsub
from apache_beam.io.gcp.internal.clients import bigquery
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from google.api_core.exceptions import DeadlineExceeded, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, secretmanager


class SecretManager:
    """Has one secret in all its versions up to 99, if any."""

    def get_secret_version(self, request: dict[str, str], **_: Any) -> Any:
        """Return what is known of a version to everybody."""
        number = request["name"].rpartition("/")[2]
        if number.isdecimal() and int(number) > 99:
            raise NotFound(f"Secret Version [{request['name']}] not found.")
        state = "DISABLED" if number == "99" else "ENABLED"
        return SimpleNamespace(state=SimpleNamespace(name=state))

    def access_secret_version(self, request: dict[str, str]) -> Any:
        """Return the version that `request` names."""
        if "FAKE_SECRET" not in os.environ:
            raise PermissionError(f"403 Permission denied on {request['name']}")
        return SimpleNamespace(payload=SimpleNamespace(data=os.environ["FAKE_SECRET"].encode()))


def bigquery_client(_: PipelineOptions) -> Any:
    """Return Beam's own client of BigQuery; unlike Google's it knows no emulator."""
    address = f"{os.environ['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/"
    return bigquery.BigqueryV2(url=address, get_credentials=False, response_encoding="utf8")


class Subscription:
    """What a job has pulled from the subscription `path`, until it is settled."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._client = pubsub_v1.SubscriberClient()
        self._held: list[str] = []

    def messages(self) -> Iterator[bytes]:
        """Yield the messages that are there, as the service hands them to a job."""
        request = {"subscription": self._path, "max_messages": 1000}
        while found := self._pulled(request):
            self._held += [each.ack_id for each in found]
            yield from (pubsub_v1.types.PubsubMessage.serialize(each.message) for each in found)

    def settle(self, done: bool) -> None:
        """Acknowledge what was pulled, or give it back."""
        request = {"subscription": self._path, "ack_ids": self._held}
        if self._held and done:
            self._client.acknowledge(request=request)
        elif self._held:
            self._client.modify_ack_deadline(request=request | {"ack_deadline_seconds": 0})

    def _pulled(self, request: dict[str, Any]) -> Sequence[Any]:
        try:
            return list(self._client.pull(request=request, timeout=1, retry=None).received_messages)
        except DeadlineExceeded:
            return ()


def execute(path: str) -> None:
    """Run the pipeline in the file `path`."""
    proto = beam_runner_api_pb2.Pipeline.FromString(Path(path).read_bytes())
    for environment in proto.components.environments.values():
        environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
    subscriptions = []
    for step in proto.components.transforms.values():
        if step.spec.urn == common_urns.composites.PUBSUB_READ.urn:
            payload = beam_runner_api_pb2.PubSubReadPayload.FromString(step.spec.payload)
            subscriptions.append(Subscription(payload.subscription))
            step.spec.CopyFrom(
                beam_runner_api_pb2.FunctionSpec(urn=common_urns.primitives.IMPULSE.urn)
            )
            # What Beam has behind it hands on each message: now it hands on all.
            pubsub._AddMetricsPassThrough.process = lambda *_: subscriptions[0].messages()
    done = False
    try:
        FnApiRunner().run_via_runner_api(proto, PipelineOptions([])).wait_until_finish()
        done = True
    finally:
        for each in subscriptions:
            each.settle(done)


# What takes Google's place: objects, their attributes, and values.
INSTEAD: list[tuple[Any, str, Any]] = [
    # Beam looks for credentials for half a minute, `--no_auth` or not: there are none.
    (auth._Credentials, "_credentials_init", True),
    (google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "my-project")),
    (bigquery_tools.BigQueryWrapper, "_bigquery_client", staticmethod(bigquery_client)),
    (secretmanager, "SecretManagerServiceClient", SecretManager),
]


def main() -> None:
    """Do what the arguments say."""
    for thing, name, value in INSTEAD:
        setattr(thing, name, value)
    what, program, *arguments = sys.argv[1:]
    if what == "execute":
        execute(program)
        return
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
