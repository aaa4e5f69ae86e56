"""Measures a stop: from the request until the stream of the provider is closed.

    python -m benchmarks.serving.stops --stops 200

A stream_complete job generates all answers at once and publishes them to Redis. The stops come one
after another. The provider (`provider`) is another process, which says when its stream was closed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from contextlib import ExitStack
from typing import Any

from benchmarks.serving import programs
from benchmarks.serving.dated import quantiles

# Seconds between two stops.
_GAP = 0.05


class _Log:
    """What the provider has said so far."""

    def __init__(self, process: Any) -> None:
        self.opened: set[int] = set()
        self.closed: dict[int, float] = {}
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            what, number, *seconds = line.split()
            if what == "open":
                self.opened.add(int(number))
            else:
                self.closed[int(number)] = float(seconds[0])


def measure(stops: int) -> dict[str, Any]:
    """Return the milliseconds of `stops` stops, and how the answers ended at a reader."""
    with ExitStack() as stack:
        url = stack.enter_context(programs.redis())
        provider = stack.enter_context(programs.program("benchmarks.serving.provider"))
        base_url = f"http://127.0.0.1:{programs.told(provider).strip()}/v1"
        log = _Log(provider)
        job = stack.enter_context(
            programs.program(
                "pipelines.stream_complete",
                *("--source=stdin", f"--deltas_to={url}?per_id=true", "--journal=none"),
                *("--model=openai/m", f"--base_url={base_url}", f"--max_in_flight={stops}"),
            )
        )
        _, port = stack.enter_context(programs.door(url))
        for number in range(stops):
            programs.tell(job, json.dumps({"id": f"{number}", "prompt": f"answer {number}"}))
        _until(lambda: len(log.opened) == stops)
        asked = {number: _stop(port, number) for number in range(stops)}
        _until(lambda: len(log.closed) == stops)
        ends = [_end(port, number) for number in range(stops)]
    seconds = [log.closed[number] - at for number, at in asked.items()]
    stopped = sum("stopped" in end for end in ends)
    return {**quantiles(seconds), "most": round(max(seconds) * 1000, 1), "stopped": stopped}


def _stop(port: int, number: int) -> float:
    time.sleep(_GAP)
    at = time.monotonic()
    assert _request(port, "POST", f"/streams/{number}/stop").status == 202
    return at


def _end(port: int, number: int) -> str:
    """Return the last event of an answer."""
    body = _request(port, "GET", f"/streams/{number}?as=events").read().decode()
    return body.strip().rpartition("\n\n")[2]


def _request(port: int, method: str, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Connection": "close"})
    return connection.getresponse()


def _until(condition: Any) -> None:
    patience = time.monotonic() + 120
    while not condition():
        if time.monotonic() > patience:
            raise TimeoutError("the job did not do it within two minutes")
        time.sleep(0.01)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=200)
    print(measure(parser.parse_args().stops))
