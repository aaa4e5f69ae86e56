"""How a program ends: on Ctrl-C, on a failure, and at once if it is asked twice."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from pipelines.errors import UsageError
from pipelines.runners import runner as runners
from transforms.failure_limit import TooManyFailures

INTERRUPTED = 130

_before_sudden_end: list[Callable[[], object]] = []


def on_sudden_end(tidy: Callable[[], object]) -> None:
    """Have `tidy` called before the second Ctrl-C ends the program."""
    _before_sudden_end.append(tidy)


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a KeyboardInterrupt, and the second into the end.

    Beam's local runner works in the main thread and wraps what it is interrupted by in errors of
    its own, with long traces: `asked` tells what it really was, and the traces are kept quiet.
    A job that knows how to `stop` by itself (it returns whether it will) is not interrupted.
    """

    def __init__(self, stop: Callable[[], bool] | None = None) -> None:
        self.asked = False
        self._stop = stop
        self._before: dict[int, Any] = {}
        self._thread_failed = threading.excepthook

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._is_news)
        threading.excepthook = self._tell_of_thread
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._is_news)
        threading.excepthook = self._thread_failed

    def _tell_of_thread(self, failure: threading.ExceptHookArgs) -> None:
        if not self.asked:
            self._thread_failed(failure)

    def _is_news(self, record: logging.LogRecord) -> bool:
        cause = record.exc_info[1] if record.exc_info else None
        told = f"{type(cause).__name__} {record.getMessage()}"  # of other threads only the text
        return not self.asked and TooManyFailures.__name__ not in told

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            for tidy in _before_sudden_end:
                tidy()
            runners.end_at_once()
            os._exit(INTERRUPTED)
        self.asked = True
        if self._stop is None or not self._stop():
            raise KeyboardInterrupt


def run_program(
    name: str,
    run: Callable[[], int],
    after_interrupt: Callable[[], str],
    stop: Callable[[], bool] | None = None,
) -> NoReturn:
    """Exit with what `run` returns; every other end is one last line and a status of its own.

    2 for what cannot work, 1 for a job that failed, 130 for an interrupt (`after_interrupt` tidies
    up and says what is left). With `stop` the first signal calls it and `run` goes on to its end.
    """
    _set_up_logging()
    with Interrupt(stop) as interrupt:
        try:
            status = run()
        except UsageError as error:
            status = _last_words(f"{name}: {error}", 2)
        except (Exception, KeyboardInterrupt) as error:
            if interrupt.asked or isinstance(error, KeyboardInterrupt):
                status = _last_words(f"{name}: stopped; {after_interrupt()}", INTERRUPTED)
            elif (root := _root(error))[0] == TooManyFailures.__name__:
                status = _last_words(f"{name}: stopped early: {root[1]}; {after_interrupt()}", 1)
            else:
                status = _last_words(f"{name}: the job failed: {_heart(error)}", 1)
    if interrupt.asked:
        _say_no_more()
    sys.exit(status)


def _say_no_more() -> None:
    """Keep quiet what Beam prints of threads at work, which find the program at its end."""
    logging.disable()
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # Beam sets one up while it is imported
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    # It warns of each output that stays empty: no failed rows is no news.
    logging.getLogger("apache_beam.io.filebasedsink").setLevel(logging.ERROR)
    # Unknown flags have been refused; these are for the job server alone.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    # It warns of each request that waits.
    logging.getLogger("apache_beam.io.components.rate_limiter").setLevel(logging.ERROR)
    # It warns of each job server that it starts or ends.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)


def _last_words(line: str, status: int) -> int:
    print(line, file=sys.stderr, flush=True)
    return status


def _heart(error: BaseException) -> str:
    """Return what went wrong first, without Beam's account of where."""
    name, text = _root(error)
    return f"{name}: {text}" if name and text else name or text


def _root(error: BaseException) -> tuple[str, str]:
    """Return the class and the message of what went wrong first; no class where Beam hides it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if reason := runners.explained(str(error)):
        return "", reason
    name, text = type(error).__name__, str(error)
    if "Traceback (most recent call last)" in text:  # of another thread or process, as a text
        qualified, _, text = text.strip().splitlines()[-1].partition(": ")
        name = qualified.rpartition(".")[2]
    text, wrapped, _ = " ".join(text.split()).partition(" [while running")
    if wrapped and name == "RuntimeError":
        name = ""  # an error that Beam could not make anew: its name is in the text
    return name, text
