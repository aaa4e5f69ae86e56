"""A job that is killed, broken and starved again and again, and the accounts of it at the end."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import orjson
from fake_server import FakeServer

from chaos.dataset import Dataset, answer
from chaos.disks import Disk, mounted
from chaos.job import started
from chaos.provider import Provider, row_of
from pipelines.outputs.shards.manifest import runs

DEATHS = ("kill", "break", "full journal", "full output")
JOURNALS = {"sqlite": "sqlite:{}/journal.sqlite", "folder": "{}/journal"}
_PATIENCE = 6
_OUTPUT = ("completions-", "failed-rows-", "failed-calls-")


@dataclass(frozen=True)
class Plan:
    """What is done to a run: after so many requests, rows or bytes on its disk, by its kind.

    A kill comes `later` seconds after that.
    """

    death: str | None
    after: int = 0
    later: float = 0.0


_END = Plan(None)


@dataclass
class Run:
    """One run of the command: what was done to it, and what it came to."""

    death: str | None
    status: int | None = None
    requests: int = 0
    in_flight: int = 0  # when it died
    seconds: float = 0.0


@dataclass
class Accounts:
    """What is known at the end. `outcomes` counts the lines of output by (id, kind)."""

    rows: int
    in_flight: int
    provider: Provider
    runs: list[Run] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    expected: Counter[tuple[str, str]] = field(default_factory=Counter)
    unlucky: set[str] = field(default_factory=set)  # sound rows that failed in the last run
    wrong: list[str] = field(default_factory=list)
    asked_again: set[str] = field(default_factory=set)  # by a run when all was done
    left_behind: set[str] = field(default_factory=set)

    @property
    def deaths(self) -> int:
        """How many runs did not come to their end."""
        return sum(run.status != 0 for run in self.runs)

    def check(self) -> None:
        """Raise AssertionError unless everything is as it was promised."""
        assert not self.wrong, f"wrong texts: {self.wrong[:5]}"
        difference = self.outcomes - self.expected, self.expected - self.outcomes
        assert self.outcomes == self.expected, f"too many and too few: {difference}"
        assert not self.unlucky, f"failed again and again: {sorted(self.unlucky)[:5]}"
        assert self.provider.paid_twice <= self.deaths * self.in_flight
        assert not self.asked_again, f"asked although answered: {sorted(self.asked_again)[:5]}"
        assert not self.left_behind, f"left in the output: {self.left_behind}"

    def __str__(self) -> str:
        deaths = Counter(run.death for run in self.runs if run.status != 0)
        at_death = sum(run.in_flight for run in self.runs if run.status != 0)
        return "\n".join(
            [
                f"{self.rows:,} rows: {sum(self.outcomes.values()):,} outcomes, of which"
                f" {_of(self.outcomes, 'completion'):,} completions",
                f"{len(self.runs)} runs, {self.deaths} of them died: {_list(deaths)}",
                f"{sum(self.provider.asked.values()):,} requests, of which"
                f" {sum(self.provider.billed.values()):,} billed; faults:"
                f" {_list(self.provider.faults)}",
                f"paid twice: {self.provider.paid_twice}, of {at_death} in flight at the deaths"
                f" ({self.deaths * self.in_flight} allowed); a run after the end asked"
                f" {len(self.asked_again)} answered rows again",
            ]
        )


def chaos(
    folder: Path,
    *,
    rows: int,
    seed: int,
    deaths: int,
    in_flight: int,
    journal: str = "sqlite",
    kinds: Sequence[str] = DEATHS,
    say: Callable[[str], None] = lambda line: None,
) -> Accounts:
    """Return the accounts of a job over `rows` that is interrupted `deaths` times.

    `journal` is one of JOURNALS, `kinds` are some of DEATHS.
    """
    dataset = Dataset(rows, seed)
    dataset.write(folder)
    provider = Provider(seed, dataset.sound, dataset.refused)
    accounts = Accounts(rows, in_flight, provider)
    with ExitStack() as stack:
        server = stack.enter_context(FakeServer(provider))
        disks = {name: stack.enter_context(mounted(folder / name)) for name in ("out", "kept")}
        job = _Job(folder, server, provider, disks, in_flight, JOURNALS[journal])
        dice = random.Random(f"{seed} deaths")
        if None in disks.values() and not {*kinds} <= {*DEATHS[:2]}:
            say("  no disk can be mounted here: where one was to be full, it is killed or broken")
            kinds = DEATHS[:2]
        for death in _deaths(dice, deaths, kinds):
            plan = _plan(death, dice, len(provider.billed), len(dataset.sound))
            _one_more(accounts, job.run(plan), say)
            _check_what_a_reader_sees(folder / "out")
        for _ in range(_PATIENCE):  # what failed for want of luck is asked again
            _one_more(accounts, job.run(_END), say)
            assert accounts.runs[-1].status == 0, (folder / "log").read_text()[-2000:]
            _read_outcomes(folder / "out", accounts, dataset)
            if not accounts.unlucky:
                break
        before = len(server.requests)
        _one_more(accounts, job.run(_END), say)
        _read_outcomes(folder / "out", accounts, dataset)
        again = {row_of(request) for request in server.requests[before:]}
        accounts.asked_again = again - dataset.refused
    return accounts


class _Job:
    """The same command, again and again."""

    def __init__(
        self,
        folder: Path,
        server: FakeServer,
        provider: Provider,
        disks: dict[str, Disk | None],
        in_flight: int,
        journal: str,
    ) -> None:
        self._server, self._provider, self._disks = server, provider, disks
        self._log = folder / "log"
        self._argv = ["--input", f"{folder}/in-*.jsonl", "--output", f"{folder}/out"]
        self._argv += ["--model", "openai/m", "--base_url", server.base_url]
        self._argv += ["--max_in_flight", str(in_flight), "--journal_required"]
        self._argv += ["--journal", journal.format(folder / "kept"), "--shard_rows", "40"]

    def run(self, plan: Plan) -> Run:
        """Run it once."""
        ran = Run(plan.death)
        self._provider.new_run()
        begun, before = time.monotonic(), len(self._server.requests)
        with self._nearly_full(plan):
            job = started(self._argv, self._log, plan.after if plan.death == "break" else None)
            if plan.death == "kill":
                self._kill(job, ran, before + plan.after, plan.later)
            job.join()
        ran.status, ran.requests = job.exitcode, len(self._server.requests) - before
        self._server.wait_until(lambda: self._server.open_streams == 0, timeout=30)
        ran.seconds = time.monotonic() - begun
        return ran

    def _kill(self, job: BaseProcess, ran: Run, at: int, later: float) -> None:
        while job.is_alive() and len(self._server.requests) < at:
            job.join(0.005)
        job.join(later)
        ran.in_flight = self._server.open_streams
        job.kill()

    @contextmanager
    def _nearly_full(self, plan: Plan) -> Iterator[None]:
        disk = self._disks.get({"full journal": "kept", "full output": "out"}.get(plan.death or ""))
        with disk.nearly_full(plan.after) if disk else nullcontext():
            yield


def _plan(death: str, dice: random.Random, answered: int, sound: int) -> Plan:
    """Return a moment for `death` in a run that finds so many of its rows answered."""
    left = max(1, sound - answered)
    after = {
        "kill": lambda: dice.randint(1, max(1, left // 2)),
        "break": lambda: answered + dice.randint(0, left // 2),
        "full journal": lambda: dice.randint(8192, 20_000 + 200 * left),
        "full output": lambda: 400 * answered + dice.randint(8192, 20_000 + 200 * left),
    }[death]()
    return Plan(death, after, dice.random() / 5)


def _one_more(accounts: Accounts, run: Run, say: Callable[[str], None]) -> None:
    accounts.runs.append(run)
    say(f"  {_told(run)}; {len(accounts.provider.billed):,} rows answered so far")


def _deaths(dice: random.Random, number: int, kinds: Sequence[str]) -> list[str]:
    """Return as many deaths, each kind about as often."""
    deaths = [kinds[position % len(kinds)] for position in range(number)]
    dice.shuffle(deaths)
    return deaths


def _check_what_a_reader_sees(out: Path) -> None:
    """Raise AssertionError unless each file is whole and listed, and each row once in a run."""
    listed = {shard.name: (run.id, shard) for run in runs(str(out)) for shard in run.shards}
    assert {file.name for file in out.glob("*.jsonl")} == listed.keys()
    rows: Counter[tuple[str, str, str]] = Counter()
    for name, (run, shard) in listed.items():
        data = (out / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard.sha256, f"half a file: {name}"
        assert data.endswith(b"\n")
        found = [orjson.loads(line) for line in data.splitlines()]
        assert (len(found), len(data)) == (shard.rows, shard.bytes)
        rows.update((run, row["id"], row["error_type"] or "completion") for row in found)
    twice = {of: count for of, count in rows.items() if count > 1 and of[2] != "DuplicateIdError"}
    assert not twice, f"in several lines: {twice}"


def _read_outcomes(out: Path, accounts: Accounts, dataset: Dataset) -> None:
    accounts.expected, accounts.outcomes = dataset.unusable.copy(), Counter()
    accounts.unlucky.clear()
    for row in _lines(out, "completions"):
        accounts.outcomes[row["id"], "completion"] += 1
        if row["text"] != answer(row["id"]) or row["input"]["id"] != row["id"]:
            accounts.wrong.append(row["id"])
    for row in _lines(out, "failed"):
        accounts.outcomes[row["id"], row["error_type"]] += 1
        if row["error_type"] not in ("RowError", "DuplicateIdError", "BadRequestError"):
            accounts.unlucky.add(row["id"])
    for id in dataset.sound:
        accounts.expected[id, "BadRequestError" if id in dataset.refused else "completion"] += 1
    ends = {"report.json", "report.html", "_SUCCESS", "_manifest"}
    names = {path.name for path in out.iterdir()} - ends
    accounts.left_behind = {name for name in names if not name.startswith(_OUTPUT)}


def _lines(out: Path, name: str) -> Iterator[dict[str, object]]:
    for file in sorted(out.glob(f"{name}-*.jsonl")):
        yield from map(orjson.loads, file.read_bytes().splitlines())


def _of(outcomes: Counter[tuple[str, str]], kind: str) -> int:
    return sum(count for (_, found), count in outcomes.items() if found == kind)


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.most_common()) or "none"


def _told(run: Run) -> str:
    end = "came to its end" if run.status == 0 else f"ended with {run.status}"
    meant = f" ({run.death})" if run.death else ""
    return f"{run.seconds:5.1f} s, {run.requests:,} requests, {end}{meant}"
