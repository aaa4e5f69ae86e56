"""Opens the page of a batch job that runs on this machine, was stopped, or is done.

python -m pipelines.watch out/
"""

from __future__ import annotations

import argparse
import sys
import threading
import webbrowser
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from pipelines.cli.flags.watch import port
from pipelines.cli.parser import Parser, add_version, program
from pipelines.imports import importing
from pipelines.shutdown import run_program
from pipelines.watch import address
from ritellm.terminal import clean

_SECONDS_TO_CONNECT = 2.0
_stop = threading.Event()


def parser() -> Parser:
    """Return the command line."""
    made = Parser(
        prog=program("pipelines.watch"),
        description="Open the page of a batch job in the browser. A job with --watch shows its"
        " answers as they grow. Of another one the page has the rows that are written, and of one"
        " that has ended, report.html.",
        epilog="The page is served on 127.0.0.1 behind a token until Ctrl-C. Nothing in the folder"
        " is changed.",
        allow_abbrev=False,
    )
    add_version(made)
    made.add_argument(
        "folder", metavar="FOLDER", help="the folder that --output of batch_complete names"
    )
    made.add_argument(
        "--port", type=port, default=0, help="the port of the page (default: any free one)"
    )
    made.add_argument(
        "--no_browser", action="store_true", help="print the address, and open no browser"
    )
    return made


def run(argv: Sequence[str]) -> int:
    """Open the page and return the exit status.

    0: done. 1: a file is not what the job wrote. 2: wrong usage, or a folder without a job.
    """
    args = parser().parse_args(list(argv))
    url = address.find(args.folder)
    if url is not None and _answers(url):
        _show(url, args)
        return 0
    with importing("watch"):
        from pipelines.watch import rows
        from pipelines.watch.feed import Feed
        from pipelines.watch.server import Server
    from pipelines.results.errors import Unreadable
    from pipelines.results.folder import State
    from transforms.journal.base import JournalError

    written = rows.WrittenRows(args.folder)

    def whole() -> bytes | None:
        return rows.whole_page(args.folder) if written.job_state is State.DONE else None

    feed = Feed(written.numbers, None, written.state)
    status = 0
    with Server(feed, args.port, whole) as server:
        with feed:
            _show(server.url, args)
            reader = threading.Thread(target=_stop_with, args=(written.stop,), daemon=True)
            reader.start()
            if whole() is None:
                try:
                    written.follow()
                except (Unreadable, JournalError) as error:
                    print(clean(f"watch: {error}"), file=sys.stderr)
                    status = 1
        if status == 0:
            print("the page stays until Ctrl-C", file=sys.stderr)
            _stop.wait()
    return status


def _stop_with(event: threading.Event) -> None:
    _stop.wait()
    event.set()


def _answers(url: str) -> bool:
    """Return whether a job serves its page at `url`: one that was killed does not."""
    parts = urlsplit(url)
    connection = HTTPConnection("127.0.0.1", parts.port or 0, timeout=_SECONDS_TO_CONNECT)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _show(url: str, args: argparse.Namespace) -> None:
    print(clean(url), flush=True)
    if not args.no_browser:
        webbrowser.open(url)


def _stopping() -> bool:
    _stop.set()
    return True


def main(argv: Sequence[str] | None = None) -> None:
    """Open the page and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("watch", lambda: run(arguments), lambda: "the job is not touched", _stopping)


if __name__ == "__main__":
    main()
