"""The checks of a runner before a job starts, and the reports of its errors."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.core import RestrictionProvider

from pipelines import filesystem
from pipelines.batch_complete import parser
from pipelines.cli import parser as cli_parser
from pipelines.cli.flags import journal as journal_flags
from pipelines.errors import UsageError
from pipelines.runners import flink
from pipelines.runners.checks import check
from pipelines.runners.failures import explained
from pipelines.runners.runner import Workers, left_behind, with_defaults, workers
from pipelines.runners.traps import traps

REQUIRED = ["--input=in.jsonl", "--output=out"]
PORTABLE = ["--runner=PortableRunner", "--job_endpoint=embed"]
POOL = [*PORTABLE, "--environment_type=EXTERNAL"]


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        (["--runner=FnApiRunner"], Workers.IN_PROCESS),
        (["--runner=FnApiRunner", "--direct_running_mode=multi_processing"], Workers.ON_MACHINE),
        (["--runner=PrismRunner"], Workers.IN_PROCESS),
        (["--runner=FlinkRunner"], Workers.IN_PROCESS),
        (["--runner=FlinkRunner", "--flink_master=flink:8081"], Workers.ELSEWHERE),
        ([*PORTABLE, "--environment_type=LOOPBACK"], Workers.IN_PROCESS),
        ([*POOL, "--environment_config=localhost:50000"], Workers.ON_MACHINE),
        ([*POOL, "--environment_config=worker-1:50000"], Workers.ELSEWHERE),
        (
            [
                *("--runner=FlinkRunner", "--flink_master=flink:8081"),
                *("--environment_type=EXTERNAL", "--environment_config=localhost:50000"),
            ],  # localhost as Flink sees it
            Workers.ELSEWHERE,
        ),
        (PORTABLE, Workers.ELSEWHERE),  # docker
        (["--runner=DataflowRunner"], Workers.ELSEWHERE),
    ],
)
def test_the_options_decide_where_the_workers_are(flags, where):
    assert workers(PipelineOptions(flags)) is where


def test_a_flag_of_flinks_job_server_is_passed_to_it():
    flag = "--checkpointing_interval=1000"
    _, options = cli_parser.parse(parser(), [*REQUIRED, "--runner=FlinkRunner", flag])
    assert flag in options.beam._flags
    with pytest.raises(UsageError, match="unknown flag --checkpointing_interval"):
        cli_parser.parse(parser(), [*REQUIRED, flag])
    with pytest.raises(UsageError, match="did you mean --checkpointing_interval"):
        cli_parser.parse(parser(), [*REQUIRED, "--runner=FlinkRunner", "--checkpoint_interval=1"])


@pytest.fixture
def closed_port():
    """A port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def refusal(*flags):
    with pytest.raises(UsageError) as refused:
        check(PipelineOptions(list(flags)))
    return str(refused.value)


def test_a_missing_job_server_is_named_in_the_error(closed_port):
    said = refusal("--runner=PortableRunner", f"--job_endpoint=localhost:{closed_port}")
    assert f"--job_endpoint localhost:{closed_port}: cannot connect" in said


def test_a_missing_worker_pool_is_reported_with_the_command_that_starts_it(closed_port):
    said = refusal(*POOL, f"--environment_config=localhost:{closed_port}")
    assert f"worker_pool_main --service_port {closed_port}" in said
    assert "must be HOST:PORT" in refusal(*POOL, "--environment_config=nowhere")


def test_the_worker_pool_of_a_remote_runner_is_not_checked():
    flags = ["--runner=PrismRunner", "--job_endpoint=prism.example:8073"]
    flags += ["--environment_type=EXTERNAL", "--environment_config=localhost:1"]
    with pytest.raises(UsageError, match=r"--job_endpoint prism\.example:8073"):
        check(PipelineOptions(flags))


def test_a_missing_cluster_is_named_in_the_error(closed_port):
    said = refusal("--runner=FlinkRunner", f"--flink_master=localhost:{closed_port}")
    assert "no Flink cluster responds" in said


JOBS = [
    {"jid": "a1", "name": "mine", "state": "RUNNING"},
    {"jid": "b2", "name": "other", "state": "RUNNING"},
    {"jid": "c3", "name": "mine", "state": "FINISHED"},
]
PATCHED = []


@pytest.fixture
def flink_1_19():
    """The address of what says that it is Flink 1.19.3, with three jobs."""

    class Rest(BaseHTTPRequestHandler):
        def do_GET(self):
            self._say({"flink-version": "1.19.3", "jobs": JOBS})

        def do_PATCH(self):
            PATCHED.append(self.path)
            self._say({})

        def _say(self, what):
            body = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    PATCHED.clear()
    with HTTPServer(("127.0.0.1", 0), Rest) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_job_server_for_another_version_of_flink_is_refused(flink_1_19):
    flags = ["--runner=FlinkRunner", f"--flink_master={flink_1_19}"]
    jar = "--flink_job_server_jar=/jars/beam-runners-flink-{}-job-server-2.62.0.jar"
    check(PipelineOptions([*flags, jar.format("1.19")]))
    said = refusal(*flags, jar.format("1.20"))
    assert said == (
        "the cluster runs Flink 1.19.3, but the job server is for Flink 1.20; use"
        " beam-runners-flink-1.19-job-server"
    )


def test_only_the_job_itself_is_cancelled_on_its_cluster(flink_1_19):
    assert flink.cancel(flink_1_19, "mine_0b9a7c") is True
    assert PATCHED == ["/jobs/a1?mode=cancel"]


def test_cancelling_on_a_missing_cluster_does_nothing(closed_port):
    assert flink.cancel(f"localhost:{closed_port}", "mine_0b9a7c") is False


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--runner=FlinkRunner"], "the job is cancelled on the cluster; kept"),
        (PORTABLE, "the job server cancels the job; workers may run until their pool ends; kept"),
        (["--runner=DataflowRunner"], "the submitted job keeps running on its runner"),
    ],
)
def test_the_last_line_says_what_happens_to_a_stopped_remote_job(flags, told):
    assert left_behind(PipelineOptions(flags), "; kept") == told


def test_a_job_with_checkpoints_finishes_bundles_before_them_unless_a_flag_says_otherwise():
    asked = ["--runner=FlinkRunner", "--checkpointing_interval=1000"]
    flag = "--finish_bundle_before_checkpointing"
    assert with_defaults(asked) == [*asked, flag]
    assert with_defaults([*asked, f"{flag}=false"]) == [*asked, f"{flag}=false"]
    assert with_defaults(["--runner=FlinkRunner"]) == ["--runner=FlinkRunner"]


REMOTE = PipelineOptions(["--runner=FlinkRunner", "--flink_master=flink:8081"])


@pytest.mark.parametrize(
    "spec", ["sqlite:answers.db", "redis://localhost/0", "redis://:pw@127.0.0.1:6379", "unix:///r"]
)
def test_a_journal_that_workers_elsewhere_cannot_reach_is_refused(spec):
    with pytest.raises(UsageError, match="workers on other machines") as refused:
        journal_flags.reachable_journal(spec, "out", REMOTE)
    assert "pw" not in str(refused.value)


def test_a_journal_that_all_workers_share_is_accepted():
    assert journal_flags.reachable_journal("auto", "/shared/out", REMOTE) == "/shared/out/journal"
    assert journal_flags.reachable_journal("redis://db/0", "out", REMOTE) == "redis://db/0"
    assert (
        journal_flags.reachable_journal("auto", "out", PipelineOptions(["--runner=PrismRunner"]))
        == "auto"
    )


def test_a_module_that_workers_lack_is_reported_in_one_sentence():
    said = explained(
        "Pipeline job-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK"
        " harness for instruction 1: Traceback (most recent call last):\n"
        "  File \"pickler.py\", line 1\nModuleNotFoundError: No module named 'transforms'\n"
    )
    assert said.startswith("No module named 'transforms' on the workers; install ritellm-beam")
    assert "--setup_file" in said


def test_the_error_of_the_worker_is_reported():
    said = explained(
        "Pipeline job-1 failed in state FAILED: java.lang.RuntimeException: Error received:"
        " Traceback\n  File x\nritellm.errors.AuthenticationError: no key [while running 'Ask']\n"
        "\tat org.apache.beam.Thing\n"
    )
    assert said == "AuthenticationError: no key (FAILED)"
    assert explained("an error of our own") is None


class Endless(beam.DoFn, RestrictionProvider):
    def initial_restriction(self, _):
        return OffsetRange(0, 1)

    def create_tracker(self, restriction):
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, *_):
        return 1

    @beam.DoFn.unbounded_per_element()
    def process(self, element, tracker=beam.DoFn.RestrictionParam()):  # noqa: B008
        yield element


def pipeline(*flags, step):
    options = PipelineOptions(list(flags))
    p = beam.Pipeline(options=options)
    p | beam.Create([1]) | "Step" >> step
    return traps(p, options)


def test_rows_that_parallel_local_workers_would_lose_cause_a_warning():
    several = ["--runner=FnApiRunner", "--direct_num_workers=4"]
    [warning] = pipeline(*several, step=beam.ParDo(Endless()))
    assert "--direct_num_workers 4" in warning
    assert "Step" in warning
    assert not pipeline(*several, step=beam.Map(str))
    assert not pipeline("--runner=FnApiRunner", step=beam.ParDo(Endless()))


def test_hints_that_delay_deltas_cause_a_warning():
    [warning] = pipeline(
        "--runner=FnApiRunner", step=beam.Map(str).with_resource_hints(min_ram="1GB")
    )
    assert "resource hints" in warning


def test_a_runner_that_chooses_another_one_causes_a_warning():
    [warning] = pipeline("--runner=DirectRunner", step=beam.Map(str))
    assert "--runner FnApiRunner" in warning


def test_dataflow_without_the_clients_of_google_is_one_sentence(monkeypatch):
    monkeypatch.setattr(filesystem, "_is_installed", lambda module: False)
    with pytest.raises(UsageError) as caught:
        check(PipelineOptions(["--runner=DataflowRunner", "--temp_location=gs://b/t"]))
    assert str(caught.value) == (
        "--temp_location gs://b/t needs google.cloud.storage: pip install 'ritellm-beam[gcp]'"
    )
