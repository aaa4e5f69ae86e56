"""What a job prints at its end: some completions, the totals, and the paths of its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pipelines.outputs.examples import first_rows
from pipelines.outputs.shards.names import PAGE, REPORT
from pipelines.outputs.shards.storage import join
from pipelines.terminal.cells import cells_in, fit, head
from ritellm.terminal import clean, clean_line
from transforms.progress.brakes import percent
from transforms.progress.line import duration

# Failed rows of both kinds are shown together.
_KINDS = ("completions", "records", "failed", "deltas")
# The reasons of refusals, and those of waits, in words.
REFUSED_BY = {
    "noise": "as noise",
    "trial": "in trials of fewer in flight",
    "limit": "above its limit",
    "rate": "above its limit",
    "pause": "while it accepted nothing",
}
HELD_BY = {
    "pause": "the provider's pauses",
    "limit": "the provider's limit",
    "trial": "trials of fewer in flight",
    "rate": "the provider's limit headers",
    "queue": "the provider's queue",
    "rpm": "--rpm",
    "tpm": "--tpm",
}


def summary(folder: str, report: Mapping[str, Any], width: int | None = None) -> str:
    """Return the text that a job prints at its end."""
    width = width or shutil.get_terminal_size().columns
    lines = [
        *_examples(_paths(folder, report, "completions"), max(40, min(width, 140))),
        *_totals(report, max(40, width)),
        *_files(folder, report),
    ]
    return clean("\n".join(lines))


def _examples(paths: Sequence[str], width: int, count: int = 8) -> Iterator[str]:
    rows = list(islice(first_rows(paths, count), count))
    if not rows:
        return
    left = max(16, min(width // 2, max(cells_in(_prompt_text(row)) for row in rows)))
    right = max(16, width - left - 3)
    yield ""
    yield f"{'prompt':<{left}}   answer"
    yield f"{'─' * left}   {'─' * right}"
    for row in rows:
        answer = " ".join((row.get("text") or "").split())
        answer = answer or clean_line(f"({row.get('finish_reason')})")
        yield f"{fit(_prompt_text(row), left)}   {head(clean_line(answer), right)}"
    yield ""


def _totals(report: Mapping[str, Any], width: int) -> Iterator[str]:
    tokens = report["tokens"]
    completed, failed = report["completed"], report["failed"]
    free = [
        f"{count:,} {word}"
        for count, word in ((report["replayed"], "from the journal"), (report["shared"], "shared"))
        if count
    ]
    known = f" ({', '.join(free)})" if free else ""
    yield f"{_plural(report['rows'], 'row')}: {completed:,} completed{known}, {failed:,} failed"
    for name, count in list(report["errors"].items())[:5]:
        why = " ".join(report["error_examples"].get(name, "").split())
        reason = clean_line(f", such as: {why}" if why else "")
        yield head(f"    {count:,} x {name}{reason}", width)
    for name, remedy in list(report["unused_columns"].items())[:5]:
        yield f"    column {name!r} was not sent: {remedy}"
    if answers := report.get("answers"):
        yield _asked(answers)
    if over := report["errors"].get("BudgetExceeded"):
        yield f"the budget is spent: {over:,} not sent; the same command with a larger one resumes"
    if cut := report["finish_reasons"].get("length"):
        yield f"{_plural(cut, 'completion')} cut off at the maximum length (raise --max_tokens)"
    if empty := report["empty"]:
        yield f"{_plural(empty, 'completion')} without any content (empty)"
    if report["completed"] == report["replayed"] + report["shared"]:
        yield from _earlier(report)
        return
    ttft = report["ttft"]
    yield from _held_back(report)
    seconds, rate = report["seconds"], report["tokens_per_second"]
    if any(count is not None for count in tokens.values()):
        yield (
            f"tokens: {tokens['prompt_tokens'] or 0:,} in, {tokens['completion_tokens'] or 0:,} out"
            + (f", {rate:,.1f} tokens/s over {duration(seconds)}" if rate else "")
        )
    yield from _costs(report)
    yield from _earlier(report)
    if ttft["p50"] is not None:
        yield f"time to first token: {_msec(ttft['p50'])} p50, {_msec(ttft['p95'])} p95"


def _asked(answers: Mapping[str, Any]) -> str:
    modes = ", ".join(f"{count:,} by {mode}" for mode, count in answers["modes"].items())
    again = f"{answers['rows_asked_again']:,} asked again ({_plural(answers['reasks'], 'request')})"
    stripped = f", {answers['stripped']:,} with text around it" if answers["stripped"] else ""
    saved = answers["tokens_saved_estimated"]
    stopped = f"; stopping early saved about {saved:,} tokens" if saved else ""
    return f"valid answers: {modes}{stripped}; {again}{stopped}"


def _held_back(report: Mapping[str, Any]) -> Iterator[str]:
    refusals, waits = report["refusals"], report["held_back_seconds"]
    if requests := refusals["requests"]:
        by = ", ".join(f"{count:,} {REFUSED_BY[why]}" for why, count in refusals["by"].items())
        yield (
            f"the provider refused {_plural(requests, 'request')}"
            f" ({percent(refusals['share'])}): {by}"
        )
    long = [f"{duration(s)} by {HELD_BY[why]}" for why, s in waits.items() if s >= 1]
    if long:
        yield f"held back: {', '.join(long)}"


def _costs(report: Mapping[str, Any]) -> Iterator[str]:
    if uncounted := report["rows_without_usage"]:
        whose = "its" if uncounted == 1 else "their"
        yield (
            f"the server sent no token counts for {_plural(uncounted, 'row')};"
            f" {whose} tokens and cost are not known"
        )
    if cost := report["cost_usd"]:
        yield f"cost: {_dollars(cost)} by list prices"
    if unpriced := report["rows_without_price"]:
        rows = _plural(unpriced, "row")
        yield (
            f"cost: not known, the table has no price for {report['model']} or for its service"
            f" tier in {rows} (--prices)"
        )
    if (wasted := report["wasted"])["tokens"]:
        about = "about " if wasted["estimated"] else ""
        usd = f" ({_dollars(wasted['cost_usd'])})" if wasted["cost_usd"] else ""
        yield (
            f"wasted: {about}{wasted['tokens']:,} tokens{usd} in {_plural(wasted['rows'], 'row')},"
            " on attempts that broke off or came too late"
        )


def _earlier(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what earlier runs paid for rows that came from the journal, and the sum."""
    earlier = report["paid_earlier"]
    if not earlier["rows"]:
        return
    now = report["tokens"]
    tokens = f"{earlier['prompt_tokens']:,} in, {earlier['completion_tokens']:,} out"
    cost = earlier["cost_usd"]
    paid = "cost not known" if cost is None else _dollars(cost)
    yield f"earlier runs: {tokens}, {paid} for {_plural(earlier['rows'], 'row')} of the journal"
    if report["attempts"] and None not in (cost, report["cost_usd"], now["prompt_tokens"]):
        prompt = earlier["prompt_tokens"] + now["prompt_tokens"]
        answer = earlier["completion_tokens"] + (now["completion_tokens"] or 0)
        total = _dollars(cost + report["cost_usd"])
        yield f"all runs: {prompt:,} in, {answer:,} out, {total}"


def _dollars(usd: float) -> str:
    return f"${usd:,.{4 if usd >= 0.01 else 6}f}"


def _files(folder: str, report: Mapping[str, Any]) -> Iterator[str]:
    for kind in _KINDS:
        files = _paths(folder, report, kind)
        if files:
            suffix = files[0].rpartition(".")[2]
            several = join(folder, f"{kind}-*.{suffix}")
            yield f"{kind + ':':<13}{files[0] if len(files) == 1 else several}"
    if table := report.get("output_table"):
        yield f"{'table:':<13}{table}"
    yield f"{'report:':<13}{join(folder, REPORT)}"
    yield f"{'page:':<13}{join(folder, PAGE)}"


def _paths(folder: str, report: Mapping[str, Any], kind: str) -> list[str]:
    """Return the paths of the files of one kind that the job wrote."""
    names = [name for name in report["files"] if name.startswith(f"{kind}-")]
    return [join(folder, name) for name in names]


def _prompt_text(row: Mapping[str, Any]) -> str:
    """Return the text of the prompt, on one line."""
    source = row.get("input") or {}
    prompt: Any = source.get("prompt")
    if not isinstance(prompt, str):
        messages = source.get("messages") or (source.get("body") or {}).get("messages") or [{}]
        prompt = messages[-1].get("content")
    text: str = prompt if isinstance(prompt, str) else str(row.get("id"))
    return clean_line(text)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _msec(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
