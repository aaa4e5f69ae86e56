"""A model server in a process of its own: it can die, with its answers, and be started anew.

    python tests/runners/models.py PORT LOG

It says each prompt again: it begins at once, and goes on after SIGUSR1; SIGUSR2 has it hold what
comes then. LOG gets a line with each prompt that it is asked; `GET /open` tells how many answers
are under way.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))

from fake_server import FakeServer, Wait, chat_events, raw, stream  # noqa: E402


class Models:
    """The server, as a test has it."""

    def __init__(self, processes, port):
        self._processes, self._address = processes, f"http://127.0.0.1:{port}"
        self._log = processes.logs / "asked.log"
        self._command = [sys.executable, __file__, str(port), str(self._log)]
        self.base_url = f"{self._address}/v1"

    def start(self):
        """Start; answers are held."""
        self._processes.start("models", self._command)
        self._processes.wait_until(self._answers, "models")

    def restart(self):
        """Die with all answers under way, and come back on the same port."""
        self._processes.kill("models")
        self.start()

    def go(self):
        """Let answers go on, and those that come now."""
        self._processes.kill("models", signal.SIGUSR1)

    def hold(self):
        """Hold the answers that come now."""
        self._processes.kill("models", signal.SIGUSR2)

    @property
    def open(self):
        """How many answers are under way."""
        with urlopen(f"{self._address}/open", timeout=10) as answer:
            return int(answer.read())

    @property
    def asked(self):
        """The prompts that were asked, by all that were started."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def _answers(self):
        try:
            return self.open >= 0  # a client may be back before this looks
        except OSError:
            return False


def main():
    port, log = sys.argv[1:]
    go = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: go.set())
    signal.signal(signal.SIGUSR2, lambda *_: go.clear())
    with open(log, "a", buffering=1) as asked:

        def answer(request):
            if request.path == "/open":
                return raw(b"%d" % (server.open_streams - 1), content_type="text/plain")
            text = request.json["messages"][-1]["content"]
            asked.write(f"{text}\n")
            events = chat_events(text)
            return stream(*events[:3], Wait(go), *events[3:])

        with FakeServer(answer, int(port)) as server:
            while True:
                signal.pause()


if __name__ == "__main__":
    main()
