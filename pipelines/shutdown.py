"""Runs a program to its exit status: on success, on a failure, and on Ctrl-C.

The first Ctrl-C or SIGTERM stops the job in an orderly way; the second one ends the process at
once. Beam makes both difficult. Its local runner works in the main thread, and it wraps what
interrupts it in errors of its own with long tracebacks. Its threads continue for a moment and log
or print their failures. So a flag records the interrupt, and filters drop what follows from it. The
filters cover the handlers of the root logger, uncaught exceptions of threads, and, once the program
has said its last line, what other threads write to stderr.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from pipelines.errors import OutputGone, ReaderLeft, UsageError
from pipelines.imports import INTERRUPTED, end_as_usual
from pipelines.runners.failures import explained
from ritellm.cli.stdout import left_by_reader, quietly
from ritellm.terminal import clean
from transforms.disks import DiskFull
from transforms.failures import TooManyFailures

# The errors that the program reports by itself.
_NO_NEWS = (TooManyFailures.__name__, ReaderLeft.__name__, DiskFull.__name__, OutputGone.__name__)
# The errors that end a job in an orderly way, and how its last line begins then.
_ENDINGS = {
    TooManyFailures.__name__: "stopped early",
    DiskFull.__name__: "stopped",
    OutputGone.__name__: "stopped",
}

_before_sudden_end: list[Callable[[], object]] = []


def on_sudden_end(tidy: Callable[[], object]) -> None:
    """Call `tidy` before the second Ctrl-C ends the program. It runs in a signal handler."""
    _before_sudden_end.append(tidy)


class Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a KeyboardInterrupt; the second ends the process.

    `interrupted` tells whether a signal has arrived. A job that can `stop` by itself is not
    interrupted: `stop` returns whether the job will end.
    """

    def __init__(self, stop: Callable[[], bool] | None = None) -> None:
        self.interrupted = False
        self._stop = stop
        self._before: dict[int, Any] = {}
        self._thread_failed = threading.excepthook

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._is_news)
        threading.excepthook = self._report_thread
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        # After an interrupt, threads of Beam still fail while the interpreter ends.
        if self.interrupted:
            sys.stderr = cast(TextIO, _OfMainThread(sys.stderr))
        else:
            for handler in logging.getLogger().handlers:
                handler.removeFilter(self._is_news)
            threading.excepthook = self._thread_failed

    def _report_thread(self, failure: threading.ExceptHookArgs) -> None:
        if self.interrupted or failure.exc_type.__name__ in _NO_NEWS:
            return
        if self._thread_failed is threading.__excepthook__:
            _print_failure(failure)
        else:
            self._thread_failed(failure)

    def _is_news(self, record: logging.LogRecord) -> bool:
        cause = record.exc_info[1] if record.exc_info else None
        # An error of another thread arrives as text only.
        text = f"{type(cause).__name__} {record.getMessage()}"
        return not self.interrupted and not any(name in text for name in _NO_NEWS)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            for tidy in _before_sudden_end:
                tidy()
            os._exit(INTERRUPTED)
        self.interrupted = True
        if self._stop is None or not self._stop():
            raise KeyboardInterrupt


def _print_failure(failure: threading.ExceptHookArgs) -> None:
    """Print what Python prints of a failed thread, safe for a terminal."""
    if failure.exc_type is SystemExit or failure.exc_value is None:
        return
    name = failure.thread.name if failure.thread else "unknown"
    lines = traceback.format_exception(failure.exc_value)
    print(clean(f"Exception in thread {name}:\n{''.join(lines)}"), file=sys.stderr, flush=True)


class _OfMainThread:
    """A text stream without what other threads write: Beam prints the tracebacks of its workers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread() is threading.main_thread():
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run_program(
    name: str,
    run: Callable[[], int],
    after_interrupt: Callable[[], str],
    stop: Callable[[], bool] | None = None,
) -> NoReturn:
    """Exit with the status that `run` returns, or with one line on stderr and another status.

    2: the command line cannot work. 1: the job failed. 130: the job was interrupted, and
    `after_interrupt` has tidied up and returned what is left. 141: the reader of stdout has left,
    about which nothing is printed. With `stop` the first signal calls
    `stop` instead, and `run` continues to its end.
    """
    _set_up_logging()
    end_as_usual()
    with Interrupt(stop) as interrupt:
        try:
            status = quietly(run)
        except UsageError as error:
            status = _last_words(f"{name}: {error}", 2)
        except (Exception, KeyboardInterrupt) as error:
            if interrupt.interrupted or isinstance(error, KeyboardInterrupt):
                status = _last_words(f"{name}: stopped; {after_interrupt()}", INTERRUPTED)
            elif (root := _root(error))[0] == ReaderLeft.__name__:
                status = left_by_reader()
            elif ending := _ENDINGS.get(root[0]):
                status = _last_words(f"{name}: {ending}: {root[1]}; {after_interrupt()}", 1)
            else:
                status = _last_words(f"{name}: the job failed: {_cause(error)}", 1)
    sys.exit(status)


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # Beam adds one at import
            handler.setFormatter(_CleanFormatter(_erase_of(handler.stream)))
    # Beam warns of each empty output. An output of failed rows is usually empty.
    logging.getLogger("apache_beam.io.filebasedsink").setLevel(logging.ERROR)
    # Beam warns of flags that only the job server knows. `cli.parser` has refused unknown ones.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    # Beam warns of each request that waits.
    logging.getLogger("apache_beam.io.components.rate_limiter").setLevel(logging.ERROR)
    # Beam warns of each job server that it starts or ends.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)


class _CleanFormatter(logging.Formatter):
    """Makes records safe for a terminal: they contain texts of providers and rows.

    `erase` removes the progress line, which is drawn again below the record.
    """

    def __init__(self, erase: str) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._erase = erase

    def format(self, record: logging.LogRecord) -> str:
        return self._erase + clean(super().format(record))


def _erase_of(stream: TextIO) -> str:
    return "\r\x1b[K" if stream.isatty() else ""


def _last_words(line: str, status: int) -> int:
    with suppress(BrokenPipeError):
        print(clean(line), file=sys.stderr, flush=True)
    return status


def _cause(error: BaseException) -> str:
    """Return the first error as a text, without Beam's context."""
    name, text = _root(error)
    return f"{name}: {text}" if name and text else name or text


def _root(error: BaseException) -> tuple[str, str]:
    """Return the class and the message of the first error; the class is "" where Beam hides it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if reason := explained(str(error)):
        return "", reason
    name, text = type(error).__name__, str(error)
    if "Traceback (most recent call last)" in text:  # of another thread or process, as text
        qualified, _, text = text.strip().splitlines()[-1].partition(": ")
        name = qualified.rpartition(".")[2]
    text, wrapped, _ = " ".join(text.split()).partition(" [while running")
    if wrapped and name == "RuntimeError":
        name = ""  # Beam could not recreate the error; its class is in the text
    return name, text
