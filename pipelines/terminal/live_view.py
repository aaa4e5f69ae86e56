"""Completions that grow side by side on a terminal, drawn by `rich`.

The lower part of the screen has one line for each completion in progress, with its newest words. A
finished completion is printed in full above and scrolls away like any other output. All text goes
through `clean`: models, prompts and ids are untrusted.

Invariant: a thread takes the lock of the view before those of rich. So the view redraws itself in a
thread of its own: rich's would draw with its own lock, and then wait for that of the view.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pipelines.terminal.cells import cells_in, fit, head, tail
from ritellm.chunks.delta_events import Finished, Grown, Superseded
from ritellm.chunks.follow import Follower
from ritellm.errors import ABOUT_VALUES
from ritellm.terminal import clean, clean_line
from transforms.elements import PUMP, Completion, DeadLetter, Delta, Prompt

_MOST_LABEL = 32
# Redrawing at this rate looks continuous, whatever the rate of the deltas.
_FRAMES_PER_SECOND = 12
# A line shows the end of a text; more than this never fits on one.
_MOST_SHOWN = 4_000


class LiveView:
    """What the terminal shows. Usable from any thread."""

    def __init__(
        self, console: Console | None = None, frames_per_second: float = _FRAMES_PER_SECOND
    ) -> None:
        self._console = console or Console(highlight=False)
        self._rate = frames_per_second
        self._live: Live | None = None
        self._follower = Follower()
        self._labels: dict[str, str] = {}
        # Completions in progress, the oldest first: by id, then by the digest of the request.
        self._texts: dict[str, dict[str, list[str]]] = {}
        self._typed: tuple[str, int] | None = None  # the line, and the place of its cursor
        self._lock = threading.RLock()
        self._closed = threading.Event()

    def add_prompt(self, prompt: Prompt) -> Prompt:
        """Add a line for `prompt`; returns the prompt."""
        if prompt.request != PUMP.request:
            with self._lock:
                self._labels[prompt.id] = _label(prompt)
                self._texts.setdefault(prompt.id, {})
                self._start()
        return prompt

    def show(self, outcomes: Iterable[Delta | Completion | DeadLetter]) -> None:
        """Add the text of deltas to their lines, and print what is finished."""
        with self._lock:
            self._start()
            for outcome in outcomes:
                if isinstance(outcome, Delta):
                    self._add(outcome)
                elif isinstance(outcome, DeadLetter):
                    self._end(outcome.id)
                    self._print(outcome.id, Text(clean(outcome.message), style="red"))

    def typed(self, text: str | None, cursor: int | None = None) -> None:
        """Show `text` as the line that is being typed, with its cursor; None removes the line.

        `cursor` is the number of characters before it; None is the end of the line.
        """
        with self._lock:
            end = 0 if text is None else len(text)
            self._typed = None if text is None else (text, end if cursor is None else cursor)
            self._start().refresh()

    def say(self, text: str) -> None:
        """Print a message of the program above the completions in progress."""
        with self._lock:
            self._start().console.print(Text(clean(text), style="dim"))

    def close(self) -> None:
        """Remove the lines in progress, and leave what was printed."""
        with self._lock:
            self._typed = None
            live, self._live = self._live, None
            self._closed.set()
            if live is not None:
                live.stop()

    def frame(self, width: int, height: int) -> list[Text]:
        """Return the lines of the lower part of the screen."""
        with self._lock:
            room = max(1, height - 3)
            rows = [
                (id, pieces)
                for id, texts in self._texts.items()
                for pieces in list(texts.values()) or [[]]
            ]
            hidden = max(0, len(rows) - room)
            lines = [self._row(id, pieces, width) for id, pieces in rows[hidden:]]
            if hidden:
                lines.insert(0, Text(f"... and {hidden} more", style="dim"))
            if self._typed is not None:
                lines.append(_typed_line(*self._typed, width))
            return lines

    def _start(self) -> Live:
        """Return the live display; it starts with the first thing to show."""
        if self._live is not None:
            return self._live
        live = self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        live.start()
        self._closed = threading.Event()
        redraw = functools.partial(self._redraw, live, self._closed)
        threading.Thread(target=redraw, name="view", daemon=True).start()
        return live

    def _redraw(self, live: Live, closed: threading.Event) -> None:
        """Redraw `live` until the view is closed."""
        while not closed.wait(1 / self._rate):
            with self._lock:
                if not closed.is_set():
                    live.refresh()

    def _render(self) -> Group:
        return Group(*self.frame(*self._console.size))

    def _add(self, delta: Delta) -> None:
        for event in self._follower.feed(delta):
            id, digest = event.key
            texts = self._texts.setdefault(id, {})
            if isinstance(event, Superseded):
                texts[digest] = []
            elif isinstance(event, Grown):
                texts.setdefault(digest, []).append(event.added)
            elif isinstance(event, Finished):
                self._end(id, digest)
                self._print(id, Text(clean(event.text).strip() or "(no text)"))

    def _end(self, id: str, digest: str | None = None) -> None:
        """Remove the line of one of the prompts with `id`; without `digest`, if there is one."""
        texts = self._texts.get(id, {})
        if digest is not None:
            texts.pop(digest, None)
        if not texts or (digest is None and len(texts) == 1):
            self._texts.pop(id, None)

    def _print(self, id: str, text: Text) -> None:
        label = self._labels.get(id) or clean_line(id)
        if id not in self._texts:
            self._labels.pop(id, None)
        self._start().console.print(Text(label, style="bold"), text, "", sep="\n")

    def _row(self, id: str, pieces: list[str], width: int) -> Text:
        most = min(_MOST_LABEL, width // 3)
        label = fit(self._labels.get(id) or clean_line(id), most)
        words = tail(clean_line("".join(pieces)[-_MOST_SHOWN:]), width - most - 4)
        return Text.assemble((f"{label} ▸", "dim"), " ", words, no_wrap=True)


def _label(prompt: Prompt) -> str:
    """Return the text of the last message, or the id of a prompt without text."""
    try:
        content = orjson.loads(prompt.request)["messages"][-1]["content"]
    except ABOUT_VALUES:  # a row may hold anything
        content = None
    return clean_line(content) if isinstance(content, str) else clean_line(prompt.id)


def _typed_line(text: str, cursor: int, width: int) -> Text:
    """Return the line that is being typed, cut around its cursor; line ends are shown as marks."""
    before, at, after = text[:cursor], text[cursor : cursor + 1] or " ", text[cursor + 1 :]
    room = width - 3 - cells_in(_one_line(at))
    left = tail(_one_line(before), max(room - min(cells_in(_one_line(after)), room // 3), 1))
    right = head(_one_line(after), max(room - cells_in(left), 0))
    return Text.assemble("> ", left, (_one_line(at), "reverse"), right, no_wrap=True)


def _one_line(text: str) -> str:
    return clean(text).replace("\n", "⏎")
