"""How snippets are noted in the table that both packages are held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_server import FakeServer, Reply

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]

Snippet = Callable[[Any, FakeServer], Any]


@dataclass(frozen=True)
class Habit:
    """A snippet, the line of docs/migrating.md that it shows, and what it comes to in each.

    `litellm` is None where the snippet has nothing to do with litellm.
    """

    line: str
    snippet: Snippet
    replies: tuple[Reply, ...]
    litellm: Any
    ritellm: Any

    @property
    def name(self) -> str:
        """What the test is called."""
        return self.snippet.__name__


@dataclass(frozen=True)
class Raised:
    """What a snippet comes to that raises."""

    name: str


HABITS: list[Habit] = []


def same(line: str, *replies: Reply, gives: Any) -> Callable[[Snippet], Snippet]:
    """Note a snippet that gives the same in both."""
    return differs(line, *replies, litellm=gives, ritellm=gives)


def differs(line: str, *replies: Reply, litellm: Any, ritellm: Any) -> Callable[[Snippet], Snippet]:
    """Note a snippet that gives one thing in litellm and another here."""

    def noted(snippet: Snippet) -> Snippet:
        HABITS.append(Habit(line, snippet, replies, litellm, ritellm))
        return snippet

    return noted


def outcome(habit: Habit, package: Any, server: FakeServer) -> Any:
    """Return what the snippet comes to, with `package` as its litellm."""
    server.enqueue(*habit.replies)
    try:
        return habit.snippet(package, server)
    except Exception as error:
        return Raised(type(error).__name__)


def text_of(chunks: Any) -> str:
    """Return the text of a stream, as everybody reads it."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def ask(litellm: Any, **arguments: Any) -> Any:
    """Ask `MODEL` once."""
    given = {"model": MODEL, "messages": MESSAGES, "num_retries": 0, "max_retries": 0}
    return litellm.completion(**given | arguments)
